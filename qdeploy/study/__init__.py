"""Studies: grids of trainings, run once each, with tables and figures beside the papers'."""

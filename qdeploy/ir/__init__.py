"""The integer graph: nodes, intervals, rules, numpy reference, fixed point."""

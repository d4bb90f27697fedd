"""What a block of `hw/rtl` costs, before synthesis."""

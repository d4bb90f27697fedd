"""qdeploy's RTL backends of FINN's hardware layers, registered in FINN along with FINN's own.

Each class joins one of FINN's operators (shapes, data types, Python execution) with one or more
blocks of `hw/rtl`. `register()` puts them into FINN's table of RTL operators; `specialize` picks
them.
"""

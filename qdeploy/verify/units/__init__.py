"""What each hardware layer of a design must hold and do, derived from the integer graph anew.

Nothing here comes from `dataflow/`: an error in the way to hardware is not repeated in its check.
"""

"""Proofs that sums in a design are what they have to be, for all inputs and in both forms.

A module that sums is written twice: what is synthesized (counters, adders, registers) and what is
simulated (all at once, delayed). Each form becomes cells, and its output word is rewritten into a
polynomial over the input bits:

    library modules   Yosys, with the macros of the form (`yosys_view`): read_verilog, hierarchy,
                      proc, flatten; no optimization -> cells (`rtlil`)
    constant sums     the text of a layer's own module (`qdeploy.verify.memories.circuit`) -> cells
    cells             registers, aliases and constants resolved (`circuit`) -> backward from the
                      outputs, cell by cell (`rewriting`) -> polynomial

and compared with what the module has to give (`dots`; for constant sums the integer graph's
weights). Two forms that both equal it are the same function.

Why it is a proof. A function of bits has exactly one multilinear polynomial with integer
coefficients, and one modulo 2^n for words of n bits: x·x = x for a bit, so every polynomial becomes
multilinear, and the values at the 0/1 points give the coefficients one after the other (Möbius
inversion, which holds modulo 2^n as well). Polynomials with equal coefficients are the same
function for every input; one that differs differs for some input.
Each rewriting step is an identity:

    register   the same bit one cycle earlier: every variable carries its number of cycles, so a
               wrong latency is another variable
    ~x, x&y, x^y   1 - x, xy, x + y - 2xy
    x + y, x*y the word of n bits is the sum or product modulo 2^n. Where the word's factor times
               2^n vanishes modulo the output's range that is enough. Elsewhere the bounds have to
               lie within n bits, unsigned or two's complement as the word is used: nothing wraps
    counters   modules of their own, proved by the same means
    $countones a function that counts (`countones`)

A step that none of these covers ends the proof, and is reported like a difference. Nothing is
sampled.

What is trusted: that Yosys' frontend reads Verilog as the standard defines it, and that Verilator
does for the simulated form; that inputs are 0 or 1. Registers begin undefined in both forms, so the
proof is about results whose inputs came after the start.
"""

"""The integer graph as C99: steps, their memory, and the text of the sources."""

"""For plugin authors and users: real servers that misbehave on demand, and a clock moved by hand."""

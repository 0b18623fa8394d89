"""Stand-ins for the graphs of Lucid's modelzoo: their structures, with weights that anyone can make again."""

"""Getting the files of published data sets: where from, where to, and how to know that they are the right ones."""

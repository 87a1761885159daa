"""Valid files damaged at random, and what reading them may then do.

`byte_edits`, `json_edits` and `file_edits` damage, `subjects` and its kin are what is damaged and
how it is read, `trial` damages one, reads it and judges. A trial is made again by its seed and
number.
"""

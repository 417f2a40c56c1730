"""Programs that tests run in a process of their own: `python -m tests.programs.NAME PORT TM_PORT`, JSON on the last line."""

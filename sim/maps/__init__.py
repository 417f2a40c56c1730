"""Our own towns as OpenDRIVE 1.6 text: the generator, and the maps it made (`*.xodr`)."""

TRAINING = (
    *("town_a", "town_b", "town_c", "town_d", "town_e", "town_f"),
    *("rural", "roundabouts", "oldtown", "arterial", "highway"),
)
HELD_OUT = ("holdout_a", "holdout_b", "suburb")  # never trained on

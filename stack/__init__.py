"""What every part shares: messages, frames, the loop, maps, vehicle parameters, recording. Imports nothing of ours."""

import warp as wp

wp.config.log_level = wp.LOG_WARNING  # standard output belongs to results (`--json -`)

"""What every part shares: messages, frames, the loop, maps, vehicle parameters, recording. Imports nothing of ours."""

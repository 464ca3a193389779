"""The examination of a training table before anything is learned from it."""

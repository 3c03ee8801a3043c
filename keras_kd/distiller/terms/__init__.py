"""What is minimised beside the hard loss: losses between teacher and student, weighed."""

"""Names of the networks of a teacher: two ship, two measure, one takes part in a student's loss."""

TEXT_ENCODER, DENOISER = "text_encoder", "denoiser"
FRECHET_JUDGE, PROMPT_JUDGE = "frechet_judge", "prompt_judge"
JUDGES = (FRECHET_JUDGE, PROMPT_JUDGE)
"""Classifiers of real pictures that measure. They never take part in a student's loss."""
CRITIC = "critic"
"""Classifier of real pictures whose maps a student's loss compares. It measures nothing."""

"""Measure policies without a judge: by likelihood, on TruthfulQA and on unseen prompts."""

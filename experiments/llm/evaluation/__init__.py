"""Policies measured without a judge: by likelihood, on TruthfulQA and on prompts that they have not seen."""

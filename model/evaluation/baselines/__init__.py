"""Detectors to hold the product against, one a file: causal, label-free, each as others build it.

Those that read a stream value by value standardise it online, by what came before. Their level is
the running mean of their score, as the product's is; their threshold is the plain rule of
`model.evaluation.alarming`. They promise no rate of false alarms.
"""

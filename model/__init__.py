"""The stateful LSTM autoencoder: architecture, training, artifact, normaliser and scoring.

Knows no Kafka, no HTTP and no SQL. Serving imports everything here but `evaluation`, which
measures scores against labels, and the modules that train: `autoencoder`, `training`, `export` and
`base`, which need torch.
"""

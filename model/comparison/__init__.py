"""RNN, GRU and LSTM, measured beside each other: what textbooks say of them in words."""

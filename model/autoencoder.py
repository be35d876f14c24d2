"""The network: a masked, stateful autoencoder over streams. All of it, in torch.

    inputs (B, D) ─► encoder LSTM ─► bottleneck ─► decoder LSTM ─► location, log-spread (B, O)
              │        ▲    │  │                     ▲    │              ▲
              │        └memory┘│                     └memory┘            │ of hidden values alone
              └────────────────┴─────────────────────────────────────────┘
                 h and c are kept for each stream

At each event the network reads the normalised values, a mask of what is present, what the stream's
profiles of day and week say, and the time since the last event; it gives back, for each feature,
what it just read (squeezed through the bottleneck) and values that are still hidden from it, the
next one and some further on, each as a location and a spread. The reconstruction error of a hidden
value, once it arrives, is the main surprise (a composite autoencoder: Srivastava, Mansimov and
Salakhutdinov 2015, ICML).

The standard LSTM (Hochreiter and Schmidhuber 1997, Neural Computation 9(8); the forget gate: Gers,
Schmidhuber and Cummins 2000, Neural Computation 12(10)), for input x, hidden state h, cell state c:

    i = sigmoid(W_i x + b_i + U_i h + d_i)      input gate
    f = sigmoid(W_f x + b_f + U_f h + d_f)      forget gate
    g = tanh   (W_g x + b_g + U_g h + d_g)      candidate
    o = sigmoid(W_o x + b_o + U_o h + d_o)      output gate
    c' = f * c + i * g                          cell state: what is remembered
    h' = o * tanh(c')                           hidden state: what is told

The GRU (Cho et al. 2014) and the plain RNN (Elman 1990) are there for comparison, by setting.
`step` writes these equations out and is what is exported and served; `forward` runs the same
weights over whole sequences with torch's fused kernels and is what is trained.
"""

from typing import cast

import torch
from torch import Tensor, nn

from model.categories import BUCKETS
from model.config import EMBEDDED, ModelConfig

FUSED = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
SMALL = 0.1
FORGET_BIAS = (0.5, 5.0)  # spread over the units: a range of memories from 2 to 150 events


def parted(config: ModelConfig, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """inputs (..., D) -> of values (..., V), the categories' buckets (..., C), of the event."""
    at = config.category_places
    return inputs[..., : at.start], inputs[..., at], inputs[..., at.stop :]


def split(config: ModelConfig, outputs: Tensor) -> tuple[Tensor, Tensor]:
    """outputs (..., O) -> location and log-spread, each (..., width, targets)."""
    shaped = outputs.reshape(*outputs.shape[:-1], config.width, config.targets, 2)
    return shaped[..., 0], shaped[..., 1]


class Recurrent(nn.Module):
    """One recurrent layer with its state flat: (B, S), S = 2 H for lstm (h then c), else H."""

    def __init__(self, cell: str, inputs: int, hidden: int) -> None:
        super().__init__()
        self.cell = cell
        self.hidden = hidden
        self.fused: nn.LSTM | nn.GRU | nn.RNN = FUSED[cell](inputs, hidden)
        self.state = 2 * hidden if cell == "lstm" else hidden
        if cell == "lstm":
            with torch.no_grad():
                bias = self.weight("bias_ih_l0")
                bias[hidden : 2 * hidden] = torch.linspace(*FORGET_BIAS, hidden)

    def step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, I), state (B, S) -> h' (B, H), state' (B, S): the equations above."""
        h = state[:, : self.hidden]
        from_x = nn.functional.linear(x, self.weight("weight_ih_l0"), self.weight("bias_ih_l0"))
        from_h = nn.functional.linear(h, self.weight("weight_hh_l0"), self.weight("bias_hh_l0"))
        if self.cell == "lstm":
            i, f, g, o = (from_x + from_h).chunk(4, dim=1)  # (B, H) each
            c = state[:, self.hidden :]
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            return h, torch.cat([h, c], dim=1)
        if self.cell == "gru":
            r_x, z_x, n_x = from_x.chunk(3, dim=1)
            r_h, z_h, n_h = from_h.chunk(3, dim=1)
            r, z = torch.sigmoid(r_x + r_h), torch.sigmoid(z_x + z_h)
            h = (1 - z) * torch.tanh(n_x + r * n_h) + z * h
            return h, h
        h = torch.tanh(from_x + from_h)
        return h, h

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """x (T, B, I), state (B, S) -> h (T, B, H), state' (B, S)."""
        h0 = state[None, :, : self.hidden].contiguous()
        if self.cell == "lstm":
            c0 = state[None, :, self.hidden :].contiguous()
            out, (h, c) = self.fused(x, (h0, c0))
            return out, torch.cat([h[0], c[0]], dim=1)
        out, h = self.fused(x, h0)
        return out, h[0]

    def weight(self, name: str) -> Tensor:
        return cast(Tensor, getattr(self.fused, name))


class Autoencoder(nn.Module):
    """Encoder, bottleneck, decoder and heads; its memory is one flat vector a stream, (B, M)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        read = config.embedded_inputs
        if config.categories:
            self.embeddings = nn.Embedding(len(config.categories) * BUCKETS, EMBEDDED)
            # Small: what training never meets stays much as what is missing.
            nn.init.normal_(self.embeddings.weight, std=SMALL)
        self.encoder = Recurrent(config.cell, read, config.hidden)
        self.bottleneck = nn.Linear(config.hidden, config.bottleneck)
        self.decoder = Recurrent(config.cell, config.bottleneck, config.decoder_hidden)
        self.heads = nn.Linear(config.decoder_hidden, config.outputs)
        self.skip = nn.Linear(config.hidden + read, config.outputs, bias=False)
        # What was read must pass the bottleneck; what is hidden may be told from all there is.
        hidden_values = torch.ones(config.width, config.targets, 2)
        hidden_values[:, 0] = 0.0
        self.register_buffer("hidden_values", hidden_values.reshape(-1), persistent=False)

    def fresh_memory(self, batch: int) -> Tensor:
        """(B, M) zeros: a stream that nothing was heard of."""
        return torch.zeros(batch, self.config.memory)

    def step(self, inputs: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """One event of each stream: inputs (B, D), memory (B, M) -> outputs (B, O), memory'."""
        inputs, split = self.embedded(inputs), self.encoder.state
        h, encoder = self.encoder.step(inputs, memory[:, :split])
        code = torch.tanh(self.bottleneck(h))  # (B, bottleneck)
        d, decoder = self.decoder.step(code, memory[:, split:])
        return self.given(inputs, h, d), torch.cat([encoder, decoder], dim=1)

    def forward(self, inputs: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """A stretch of each stream: inputs (T, B, D), memory (B, M) -> outputs (T, B, O), memory'.

        The same numbers as T calls of `step`, up to rounding.
        """
        inputs, split = self.embedded(inputs), self.encoder.state
        h, encoder = self.encoder(inputs, memory[:, :split])
        code = torch.tanh(self.bottleneck(h))
        d, decoder = self.decoder(code, memory[:, split:])
        return self.given(inputs, h, d), torch.cat([encoder, decoder], dim=1)

    def embedded(self, inputs: Tensor) -> Tensor:
        """inputs (..., D) -> (..., D'), where a vector stands for each category's bucket."""
        if not self.config.categories:
            return inputs
        values, buckets, event = parted(self.config, inputs)
        tables = BUCKETS * torch.arange(len(self.config.categories))  # one for each category
        vectors = self.embeddings(buckets.long() + tables).flatten(start_dim=-2)
        return torch.cat([values, vectors, event], dim=-1)

    def given(self, inputs: Tensor, encoder: Tensor, decoder: Tensor) -> Tensor:
        """What the hidden states of encoder and decoder say, (..., O)."""
        direct = self.skip(torch.cat([encoder, inputs], dim=-1)) * self.hidden_values
        return cast(Tensor, self.heads(decoder) + direct)

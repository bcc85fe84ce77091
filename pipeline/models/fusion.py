"""Learned fusion of any subset of conditions into what a denoiser takes: tokens, mask and spatial maps.

Each modality's tokens are projected to one width, marked with a modality embedding and scaled by a gate: a
function of all pooled conditions and of the timestep (Flamingo's tanh gate, Alayrac et al. 2022, made a function of
t), so that training decides when a modality speaks. Flamingo's begin closed, to shelter a network that was trained
before; these begin open, because nothing was, and closed ones learn late (docs/training.md). A modality that is missing
or dropped becomes its learned null. Classifier-free dropout (Ho & Salimans 2022), missing-modality inference
and the branches of guidance are therefore one mechanism: `keep`.

How the modalities meet is an option, `join`: "tokens" stand one after the other and the denoiser attends to them all;
"attention" lets them attend to each other before; "pooled" makes one token of their pooled vectors, concatenated along
the feature axis.
"""

from collections.abc import Mapping

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.embeddings import get_timestep_embedding
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from pipeline.conditions import Condition, Conditions
from pipeline.models.joins import Mix, Pack, seen_in
from pipeline.settings import SettingsError

Keep = Mapping[str, Tensor]  # modality -> [B] bool: may the network see it in this row?
JOINS = ("tokens", "attention", "pooled")
Fused = tuple[Tensor, Tensor, tuple[Tensor, ...]]  # tokens [B, L, D], mask [B, L], maps of [B, C, H, W] or [B, C, T]


def check_join(join: str) -> None:
    """Raises SettingsError for a name that is not among JOINS."""
    if join not in JOINS:
        raise SettingsError(f"a fusion joins by one of {', '.join(JOINS)}, not {join}")


class Fusion(ModelMixin, ConfigMixin):
    """Gated modalities, joined.

    Args:
        tokens: modality -> width of its tokens. Tokens stand in the alphabetical order of their modalities.
        pooled: modality -> width of its pooled vector.
        maps: modality -> channels of each of its maps, for those that have maps.
        dim: width D of the fused tokens.
        hidden: width of the network that computes the gates; 0: there are none, every modality speaks as loud as it is.
        join: one of JOINS.

    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        tokens: dict[str, int],
        pooled: dict[str, int],
        maps: dict[str, list[int]],
        dim: int,
        hidden: int = 128,
        join: str = "tokens",
    ) -> None:
        super().__init__()
        check_join(join)
        self.modalities = sorted(tokens)  # a saved config does not keep the order of keys
        self.join = join
        self.null_map = nn.ModuleDict(
            {m: nn.ParameterList([nn.Parameter(torch.zeros(c)) for c in channels]) for m, channels in maps.items()}
        )
        self._make_tokens({} if join == "pooled" else tokens, dim)
        self._make_gates(pooled if hidden else {}, hidden)
        self.mix = Mix(dim) if join == "attention" else None
        self.pack = Pack(pooled, dim) if join == "pooled" else None

    def _make_tokens(self, tokens: Mapping[str, int], dim: int) -> None:
        self.project = nn.ModuleDict(
            {m: nn.Sequential(nn.LayerNorm(width), nn.Linear(width, dim)) for m, width in tokens.items()}
        )
        self.modality = nn.ParameterDict({m: nn.Parameter(torch.randn(dim) * 0.02) for m in tokens})
        self.null_token = nn.ParameterDict({m: nn.Parameter(torch.randn(dim) * 0.02) for m in tokens})

    def _make_gates(self, pooled: Mapping[str, int], hidden: int) -> None:
        self.hidden = hidden
        self.pool = nn.ModuleDict({m: nn.Linear(width, hidden) for m, width in pooled.items()})
        self.null_pool = nn.ParameterDict({m: nn.Parameter(torch.zeros(hidden)) for m in pooled})
        self.gate: nn.Sequential | None = None
        if pooled:
            last = nn.Linear(hidden, len(self.modalities))
            nn.init.zeros_(last.weight)
            nn.init.ones_(last.bias)
            self.gate = nn.Sequential(nn.Linear(2 * hidden, hidden), nn.SiLU(), last)

    def gates(self, conditions: Conditions, keep: Keep, t: Tensor) -> dict[str, Tensor]:
        """Gate of each modality [B], in (-1, 1); 1 without gates. t [B] is the training timestep, in [0, 1000)."""
        if self.gate is None:
            return {m: torch.ones_like(conditions[m].pooled[:, 0]) for m in self.modalities}
        evidence = torch.stack(
            [
                torch.where(seen_in(conditions[m], keep[m])[:, None], layer(conditions[m].pooled), self.null_pool[m])
                for m, layer in self.pool.items()
            ]
        ).sum(0)  # [B, hidden]
        time = get_timestep_embedding(t, self.hidden, flip_sin_to_cos=True, downscale_freq_shift=0)  # [B, hidden]
        values = torch.tanh(self.gate(torch.cat([evidence, time.to(evidence.dtype)], 1)))  # [B, M]
        return dict(zip(self.modalities, values.unbind(1), strict=True))

    def forward(self, conditions: Conditions, keep: Keep, t: Tensor) -> Fused:
        """Fuse what each row may see. conditions[m].maps must already be features, one per level of the network."""
        gates = self.gates(conditions, keep, t)
        maps = [self._maps(m, conditions[m], seen_in(conditions[m], keep[m]), gates[m]) for m in self.null_map]
        tokens, mask = self._joined(conditions, keep, gates)
        return tokens, mask, tuple(torch.stack(level).sum(0) for level in zip(*maps, strict=True))

    def _joined(self, conditions: Conditions, keep: Keep, gates: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """(tokens [B, L, D], mask [B, L]) of all modalities."""
        if self.pack is not None:
            packed = self.pack(conditions, keep, gates)
            return packed, torch.ones(packed.shape[:2], dtype=torch.bool, device=packed.device)
        tokens, masks = [], []
        for m in self.modalities:
            seen = seen_in(conditions[m], keep[m])
            tokens.append(self._tokens(m, conditions[m], seen, gates[m]))
            masks.append(torch.where(seen[:, None], conditions[m].mask, _first_only(conditions[m].mask)))
        joined, mask = torch.cat(tokens, 1), torch.cat(masks, 1)
        return joined if self.mix is None else self.mix(joined, mask), mask

    def _tokens(self, m: str, condition: Condition, seen: Tensor, gate: Tensor) -> Tensor:
        projected = self.project[m](condition.tokens) + self.modality[m]  # [B, L, D]
        return torch.where(seen[:, None, None], gate[:, None, None] * projected, self.null_token[m])

    def _maps(self, m: str, condition: Condition, seen: Tensor, gate: Tensor) -> list[Tensor]:
        nulls: nn.ParameterList = self.null_map[m]  # type: ignore[assignment]
        return [
            torch.where(_over(seen, x), _over(gate, x) * x, null.view(-1, *[1] * (x.dim() - 2)))  # [B, C, ...]
            for x, null in zip(condition.maps, nulls, strict=True)
        ]


def _over(values: Tensor, like: Tensor) -> Tensor:
    """Values [B] that broadcast over [B, C, ...]."""
    return values.view(-1, *[1] * (like.dim() - 1))


def _first_only(mask: Tensor) -> Tensor:
    """A mask [B, L] of the first token alone: where the null token stands."""
    first = torch.zeros_like(mask)
    first[:, 0] = True
    return first

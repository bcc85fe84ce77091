"""Learned fusion of any subset of conditions into what a denoiser takes: tokens, mask and spatial maps.

Each modality's tokens are projected to one width, marked with a modality embedding and scaled by a gate: a
function of all pooled conditions and of the timestep, opened from zero, so that training decides when a
modality speaks (Flamingo's tanh gate, Alayrac et al. 2022, made a function of t). A modality that is missing
or dropped becomes its learned null. Classifier-free dropout (Ho & Salimans 2022), missing-modality inference
and the branches of guidance are therefore one mechanism: `keep`.
"""

from collections.abc import Mapping

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.embeddings import get_timestep_embedding
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from pipeline.conditions import Condition, Conditions

Keep = Mapping[str, Tensor]  # modality -> [B] bool: may the network see it in this row?
Fused = tuple[Tensor, Tensor, tuple[Tensor, ...]]  # tokens [B, L, D], mask [B, L], maps of [B, C, H, W] or [B, C, T]


class Fusion(ModelMixin, ConfigMixin):
    """Gated token concatenation.

    Args:
        tokens: modality -> width of its tokens. Tokens stand in the alphabetical order of their modalities.
        pooled: modality -> width of its pooled vector.
        maps: modality -> channels of each of its maps, for those that have maps.
        dim: width D of the fused tokens.
        hidden: width of the network that computes the gates.

    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self, tokens: dict[str, int], pooled: dict[str, int], maps: dict[str, list[int]], dim: int, hidden: int = 128
    ) -> None:
        super().__init__()
        self.modalities = sorted(tokens)  # a saved config does not keep the order of keys
        self.project = nn.ModuleDict(
            {m: nn.Sequential(nn.LayerNorm(width), nn.Linear(width, dim)) for m, width in tokens.items()}
        )
        self.modality = nn.ParameterDict({m: nn.Parameter(torch.randn(dim) * 0.02) for m in tokens})
        self.null_token = nn.ParameterDict({m: nn.Parameter(torch.randn(dim) * 0.02) for m in tokens})
        self.null_map = nn.ModuleDict(
            {m: nn.ParameterList([nn.Parameter(torch.zeros(c)) for c in channels]) for m, channels in maps.items()}
        )
        self.pool = nn.ModuleDict({m: nn.Linear(width, hidden) for m, width in pooled.items()})
        self.null_pool = nn.ParameterDict({m: nn.Parameter(torch.zeros(hidden)) for m in pooled})
        last = nn.Linear(hidden, len(self.modalities))
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.gate = nn.Sequential(nn.Linear(2 * hidden, hidden), nn.SiLU(), last)
        self.hidden = hidden

    def gates(self, conditions: Conditions, keep: Keep, t: Tensor) -> dict[str, Tensor]:
        """Gate of each modality [B], in (-1, 1). t [B] is the training timestep, in [0, 1000)."""
        evidence = torch.stack(
            [
                torch.where(_seen(conditions[m], keep[m])[:, None], layer(conditions[m].pooled), self.null_pool[m])
                for m, layer in self.pool.items()
            ]
        ).sum(0)  # [B, hidden]
        time = get_timestep_embedding(t, self.hidden, flip_sin_to_cos=True, downscale_freq_shift=0)  # [B, hidden]
        values = torch.tanh(self.gate(torch.cat([evidence, time.to(evidence.dtype)], 1)))  # [B, M]
        return dict(zip(self.modalities, values.unbind(1), strict=True))

    def forward(self, conditions: Conditions, keep: Keep, t: Tensor) -> Fused:
        """Fuse what each row may see. conditions[m].maps must already be features, one per level of the network."""
        gates = self.gates(conditions, keep, t)
        tokens, masks, maps = [], [], []
        for m in self.modalities:
            seen = _seen(conditions[m], keep[m])
            tokens.append(self._tokens(m, conditions[m], seen, gates[m]))
            masks.append(torch.where(seen[:, None], conditions[m].mask, _first_only(conditions[m].mask)))
            if m in self.null_map:
                maps.append(self._maps(m, conditions[m], seen, gates[m]))
        summed = tuple(torch.stack(level).sum(0) for level in zip(*maps, strict=True))
        return torch.cat(tokens, 1), torch.cat(masks, 1), summed

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


def _seen(condition: Condition, keep: Tensor) -> Tensor:
    return condition.present & keep


def _first_only(mask: Tensor) -> Tensor:
    """A mask [B, L] of the first token alone: where the null token stands."""
    first = torch.zeros_like(mask)
    first[:, 0] = True
    return first

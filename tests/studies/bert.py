"""A plain BERT for the studies: as deep and wide as the text tower of the starter's CLIP, taught to fill in words of
the training texts (masked language modelling, Devlin et al. 2019). It has never seen a picture."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from tokenizers import AddedToken
from transformers import BertConfig, BertForMaskedLM, DataCollatorForLanguageModeling

from pipeline.train.data import caption
from pipeline.train.tokenizer import PAD_ID, learn

WIDTH, LAYERS, LENGTH = 128, 3, 24
STEPS, ROWS, RATE = 1500, 64, 1e-3


def trained(pairs: Path, folder: Path, seed: int, steps: int = STEPS) -> Path:
    """A folder of transformers with a BERT that has read the training texts, made once."""
    if (folder / "config.json").exists():
        return folder
    table = pq.read_table(pairs, columns=["text", "tags"], filters=[("split", "=", "train")])
    rows = [(row["text"], row["tags"] or "") for row in table.to_pylist()]
    tokenizer = learn((f"{text} {tags}" for text, tags in rows), 4096, LENGTH)
    tokenizer.add_special_tokens({"mask_token": AddedToken("<mask>", special=True)})
    torch.manual_seed(seed)
    network = _network(len(tokenizer))
    mask = DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15, seed=seed)
    optimiser = torch.optim.AdamW(network.parameters(), RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    rng = np.random.default_rng(seed)
    for step in range(steps):
        texts = [caption(*rows[i], rng) for i in rng.integers(len(rows), size=ROWS)]
        loss = network(**mask([tokenizer(t, truncation=True) for t in texts])).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % 100 == 0:
            print(f"bert: step {step} of {steps}, loss {float(loss.detach()):.3f}", flush=True)
    network.bert.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _network(vocabulary: int) -> BertForMaskedLM:
    return BertForMaskedLM(
        BertConfig(
            vocab_size=vocabulary,
            hidden_size=WIDTH,
            num_hidden_layers=LAYERS,
            num_attention_heads=WIDTH // 32,
            intermediate_size=4 * WIDTH,
            max_position_embeddings=LENGTH,
            pad_token_id=PAD_ID,
        )
    )

"""Batch generation with multimodal conditional diffusion.

How data flows, from the outside in:

    jobs/generate.py   compose conf/ into `settings.Generate`
    plan               inputs x cells x samples -> planned rows, cut into shards
    stages/            load -> encode -> sample -> finish: one shard is one block is one object
    audit              the law: every planned row stands in the output exactly once
    report/            the page a person looks at

Mathematics (conditions, models, diffusion, scores) knows nothing of Ray and is tested without it.
"""

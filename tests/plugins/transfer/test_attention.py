"""The cross-attention block, compared with its equations."""

import torch

from pvbias.plugins.transfer.attention import AttentivePooler


def test_attention_is_that_of_the_query_to_all_tokens():
    torch.manual_seed(0)
    pooler, tokens = AttentivePooler(8, heads=2), torch.randn(3, 5, 8)
    with torch.no_grad():
        keys = torch.nn.functional.layer_norm(tokens, (8,))
        projections = zip(pooler.attention.in_proj_weight.chunk(3), (pooler.query, keys, keys), strict=True)
        query, key, value = (
            (each @ weight.T).expand(3, -1, 8).unflatten(2, (2, 4)).transpose(1, 2) for weight, each in projections
        )
        attended = ((query @ key.mT / 4**0.5).softmax(3) @ value).transpose(1, 2).flatten(2)
        pooled = pooler.query + attended @ pooler.attention.out_proj.weight.T
        expected = (pooled + pooler.mlp(torch.nn.functional.layer_norm(pooled, (8,))))[:, 0]
        torch.testing.assert_close(pooler(tokens), expected)
        torch.testing.assert_close(pooler(tokens[:, [4, 0, 3, 1, 2]]), expected)

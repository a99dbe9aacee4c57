"""What test_kills.py kills: `train FOLDER` or `features FOLDER`, started again until it comes to its end."""

import json
import sys
from pathlib import Path
import numpy as np
import torch

torch.set_num_threads(1)

what, folder = sys.argv[1], Path(sys.argv[2])
if what == 'train':
    import lightning as L
    from idc_nb.training import fit
    from idc_nb.finetune import Validate
    from idc_nb.metrics import caption_score
    from made_up import finetuning, made_up

    triplets, store, vocab = made_up(folder / 'store')
    stage, batches = finetuning(triplets, store, vocab, steps=int(sys.argv[3]), dropout=0.2)
    judge = Validate(caption_score(triplets[:3], store, vocab, max_len=8), folder / 'run', every=20)

    class Tick(L.Callback):
        def on_train_batch_start(self, *_):
            print('tick', flush=True)

    fit(
        stage,
        batches,
        folder / 'run',
        save_every=3,
        callbacks=[Tick(), judge],
        accelerator='cpu',
        enable_progress_bar=False,
    )
else:
    from idc_nb.lab import store

    store.BLOCK = 8  # more places to be killed at
    pictures = folder / 'pictures'
    if not pictures.exists():
        from PIL import Image

        pictures.mkdir(parents=True)
        for i in range(int(sys.argv[3])):
            Image.fromarray(
                np.random.default_rng(i).integers(0, 256, (224, 224, 3), dtype=np.uint8)
            ).save(pictures / f'{i:03}.png')
    plain = store._grids

    def grids(*args):
        print('tick', flush=True)
        return plain(*args)

    store._grids = grids
    store.extract_features(sorted(pictures.iterdir()), folder / 'store', workers=1)
print('done', flush=True)

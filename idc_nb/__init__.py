"""Image difference captioning: two similar images in, a sentence on what differs out.

    import idc_nb

    idc_nb.caption('before.png', 'after.png')  # a sentence
    idc_nb.mvcl.mvcl_loss                      # a lesson's module, loaded on first use

`help(idc_nb.caption)` shows arguments and an example.
"""

import sys
from idc_nb import lab
from idc_nb.lab.help import Finder, load_module, offer_modules

__version__ = "0.3.0"
#: name for everyday use -> module that holds it, loaded on first use: `import idc_nb` is fast and pure
EVERYDAY = {
    'caption': 'captioner',
    'captions': 'captioner',
    'get_captioner': 'captioner',
    'MODELS': 'captioner',
    'FarFromTraining': 'captioner',
    'score': 'metrics',
    'play': 'lab.playground',
    'lesson_setup': 'lab.checks',
}
__all__ = list(EVERYDAY)

#: module of version 0.2 -> where its contents are; CHANGELOG.md has the names that moved alone
MOVED = {
    'idc_nb.commands': 'idc_nb.lab.commands',
    'idc_nb.flops': 'idc_nb.lab.profile',
    'idc_nb.official': 'idc_nb.lab.official',
    'idc_nb.presets': 'idc_nb.lab.presets',
    'idc_nb.released': 'idc_nb.lab.released',
    'idc_nb.results': 'idc_nb.ablation',
    'idc_nb.train': 'idc_nb.gpu (Progress: idc_nb.lab.loop, Validate: idc_nb.lab.validate)',
}


class _Moved:  # the last finder: asked only for modules that nobody else has found
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name in MOVED:
            raise ImportError(f'{name} is now {MOVED[name]}', name=name)


sys.meta_path.insert(0, Finder)
offer_modules(lab)  # it was there before the finder
sys.meta_path.append(_Moved)


def __getattr__(name):
    if name.startswith('_'):
        raise AttributeError(f"module 'idc_nb' has no attribute {name!r}")
    if name in EVERYDAY:
        return getattr(load_module('idc_nb', EVERYDAY[name]), name)
    return load_module('idc_nb', name)


def __dir__():
    return __all__

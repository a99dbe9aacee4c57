import sys

__version__ = "0.3.0"
__all__ = ['caption', 'captions', 'play']

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


sys.meta_path.append(_Moved)


def __getattr__(name):  # loaded on first use, so that `import idc_nb` is fast and pure
    if name == 'play':
        from idc_nb.lab.playground import play

        return play
    if name in __all__:
        from idc_nb import captioner

        return getattr(captioner, name)
    raise AttributeError(f"module 'idc_nb' has no attribute {name!r}")

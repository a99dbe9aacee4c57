__version__ = "0.2.0"
__all__ = ['caption', 'captions']


def __getattr__(name):  # loaded on first use, so that `import idc_nb` is fast and pure
    if name in __all__:
        from idc_nb import captioner
        return getattr(captioner, name)
    raise AttributeError(f"module 'idc_nb' has no attribute {name!r}")

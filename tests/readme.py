"""README.md from index.ipynb: `python tests/readme.py`.

Of a cell with the tag remove-input, the README shows only the output.
"""

import sys
from pathlib import Path
from nbconvert import MarkdownExporter
from traitlets.config import Config

ROOT = Path(__file__).parents[1]
PICTURES = 'results/readme'  # folder for the pictures in the README


def convert(notebook) -> dict:  # {path below the root: bytes} of the README and its pictures
    config = Config()
    config.MarkdownExporter.preprocessors = ['nbconvert.preprocessors.TagRemovePreprocessor']
    config.TagRemovePreprocessor.enabled = True
    config.TagRemovePreprocessor.remove_input_tags = {'remove-input'}
    names = dict(output_files_dir=PICTURES, unique_key='README')
    text, made = MarkdownExporter(config=config).from_filename(str(notebook), resources=names)
    return {'README.md': text.encode(), **made['outputs']}


def main() -> int:
    made = convert(ROOT / 'index.ipynb')
    for old in (ROOT / PICTURES).glob('*'):
        old.unlink()
    for name, content in made.items():
        (ROOT / name).parent.mkdir(exist_ok=True)
        (ROOT / name).write_bytes(content)
    print('wrote', *made)
    return 0


if __name__ == '__main__':
    sys.exit(main())

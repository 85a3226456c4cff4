"""Formats the answers of palmjax.verify as text."""

from palmjax.evals.recognition import error_rates
from palmjax.inference import palm_warnings

_UNCALIBRATED = (
  'not calibrated for this camera; see python -m palmjax.calibrate'
)

# Of the kinds of `Scorer.comparison` that say too little.
_KINDS = {
  'fused: fine, wide': 'score: codes of fine and of wide lines',
  'fused: fine, wide, network': (
    'score: codes of fine and of wide lines, and the network'
  ),
}


def pair(answer):
  """Text of the answer on two images."""
  palms = 'same palm' if answer['decision'] == 'same' else 'different palms'
  lines = [
    f'{palms}: {answer["measure"]} {answer["score"]:.4f}, '
    f'threshold {answer["threshold"]:.4f}',
    _point(answer),
    *_photos(answer),
  ]
  if not answer.get('same_side', True):
    lines.append(
      'a left and a right hand: two palms, whatever the score; compare hands '
      'of one side. If both photos show one hand, one of them is mirrored, as '
      'many front cameras do: mirror it back'
    )
  return '\n'.join(lines)


def ranks(answer):
  """Text of the answer on a gallery."""
  lines = [f'{"rank":>4} {answer["measure"]:>8}  {"decision":9}  image']
  lines += [
    f'{row["rank"]:4} {row["score"]:8.4f}  {row["decision"]:9}  {row["image"]}'
    + (f' ({row["hand"]} hand)' if 'hand' in row else '')
    for row in answer['ranks']
  ]
  lines += [f'left out: {reason}' for reason in answer['left_out']]
  lines.append(
    'nobody: every palm of the gallery is different'
    if answer['identity'] is None
    else f'found: {answer["identity"]}'
  )
  if 'saved' in answer:
    lines.append(
      f'templates saved for --gallery={answer["saved"]}: biometric data, by '
      'which palms can be recognised'
    )
  # Each comparison may go wrong: at most the sum of all.
  stranger = min(1.0, answer['fmr'] * answer['images'])
  return '\n'.join(
    [
      *lines,
      f'threshold {answer["threshold"]:.4f}, {_point(answer)}',
      f'gallery of {count(answer["identities"], "palm")}, '
      f'{count(answer["images"], "image")}: at most {100 * stranger:.2g} % of '
      'strangers are taken for one of these palms',
      *_photos(answer),
    ]
  )


def count(number, noun):
  """'1 palm', '2 palms'."""
  return f'{number:,} {noun}' + ('' if number == 1 else 's')


def _point(answer):
  kind = _KINDS.get(answer['comparison'], answer['comparison'])
  lines = [
    f'set for an FMR of {error_rates.short(answer["fmr"])} on '
    f'{answer["set_on"]} ({kind})'
  ]
  if not answer['calibrated']:
    lines.append(_UNCALIBRATED)
  if 'unused' in answer:
    lines.append(answer['unused'])
  return '\n'.join(lines)


def _photos(answer):
  """Which hand of each photo was taken, and what nobody checks."""
  lines = [
    f'{row["image"]}: {row["hand"]} hand, {row["gesture"]!r} with a score of '
    f'{row["hand_score"]:.2f}'
    + (f'; the best of {row["palms"]} palms' if row['palms'] > 1 else '')
    for row in answer.get('photos', ())
  ]
  return [*lines, palm_warnings.BACKS] if lines else []

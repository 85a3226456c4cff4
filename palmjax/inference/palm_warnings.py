"""Lines about palms that may mislead: whole hands, small palms, backs."""

from palmjax.inference import cut_out, palm_files

# Nothing that was measured tells backs from palms for certain: docs/results.md.
BACKS = (
  'the back of a hand can pass as a palm: look at what python -m '
  'palmjax.detect cuts out'
)
# Share of images. Of palms alone 0 of 379 seem to show a whole hand, of hands
# before walls all, of hands in rooms a fifth to a third (`cut_out`). Palms of a
# camera that nobody here has seen are not to be refused, so most must seem so.
_MANY = 0.5
_NAMED = 5  # Images that a line names.


def lines(palms, pictures=0):
  """Lines about images that may be no palms, or small ones, for the user.

  Args:
    palms: {name: `palm_files.Palm`}.
    pictures: of `palm_files.PalmFolder`.
  """
  texts = []
  if doubted := [
    (name, palm.doubt) for name, palm in palms.items() if palm.doubt
  ]:
    named = [f'{name} {doubt}' for name, doubt in doubted[:_NAMED]]
    texts.append(
      f'{_listed(named, len(doubted))}; if an image shows a whole hand add '
      '--photos'
    )
  if enlarged := [
    (name, palm) for name, palm in palms.items() if palm.enlarged
  ]:
    (name, palm), *others = enlarged
    were = 'was' if len(others) == 1 else 'were'
    more = f', and so {were} {len(others)} more' if others else ''
    texts.append(
      f'{name}: the palm is {int(palm.width)} px wide and was enlarged to '
      f'{len(palm.image)}{more}; hold the hand nearer to the camera'
    )
  if pictures:
    texts.append(
      'pictures of palmjax.detect are passed over, as they are no palms: '
      f'{pictures} *{palm_files.PICTURE}'
    )
  return texts


def whole_hands(names, hands, advice):
  """A line about images that seem to show whole hands; '' without any.

  Args:
    names: of all images.
    hands: names of those that seem to.
    advice: what to do if they do.

  Raises:
    ValueError: most of the images seem to; the line counts them and names one.
  """
  if len(hands) > _MANY * len(names):
    raise ValueError(
      f'{len(hands)} of {len(names)} images seem to show whole hands, such as '
      f'{hands[0]}: {advice}; if they show palms alone cut them closer'
    )
  if not hands:
    return ''
  few = _listed(hands[:_NAMED], len(hands))
  return f'{few}: may show a whole hand; if so, {advice}'


def _listed(texts, total):
  more = total - len(texts)
  return ', '.join(texts) + (f' and {more} more' if more else '')


def require_palms_alone(palms):
  """Refuses a set of palms of which many seem to be whole hands.

  Args:
    palms: {name: `palm_files.Palm`}.

  Raises:
    ValueError: one line that counts them and names one.
  """
  hands = [name for name, palm in palms.items() if palm.doubt == cut_out.HAND]
  whole_hands(palms, hands, 'add --photos')

/** Keyboard control of the player: which key does what. Pure. */

export type PlayerAction =
  | { do: 'toggle-play' }
  | { do: 'seek-by'; seconds: number }
  | { do: 'seek-to'; share: number }
  | { do: 'volume-by'; share: number }
  | { do: 'toggle-mute' }
  | { do: 'toggle-captions' }
  | { do: 'toggle-fullscreen' }
  | { do: 'help' };

export interface Shortcut {
  keys: string[];
  label: string;
}

/** What the help shows, in its order. */
export const SHORTCUTS: Shortcut[] = [
  { keys: ['Space', 'K'], label: 'Play or pause' },
  { keys: ['J', 'L'], label: '10 seconds back or forward' },
  { keys: ['←', '→'], label: '5 seconds back or forward' },
  { keys: ['↑', '↓'], label: 'Louder or quieter' },
  { keys: ['M'], label: 'Sound off or on' },
  { keys: ['C'], label: 'Captions off or on' },
  { keys: ['F'], label: 'Full screen on or off' },
  { keys: ['0', '…', '9'], label: 'Jump to 0 %, 10 % … 90 %' },
  { keys: ['?'], label: 'Show or hide this help' },
];

export interface KeyPress {
  key: string;
  altKey: boolean;
  ctrlKey: boolean;
  metaKey: boolean;
}

export function actionFor(press: KeyPress): PlayerAction | null {
  if (press.altKey || press.ctrlKey || press.metaKey) return null;
  if (/^[0-9]$/.test(press.key)) return { do: 'seek-to', share: Number(press.key) / 10 };
  switch (press.key.toLowerCase()) {
    case ' ':
    case 'k':
      return { do: 'toggle-play' };
    case 'j':
      return { do: 'seek-by', seconds: -10 };
    case 'l':
      return { do: 'seek-by', seconds: 10 };
    case 'arrowleft':
      return { do: 'seek-by', seconds: -5 };
    case 'arrowright':
      return { do: 'seek-by', seconds: 5 };
    case 'arrowup':
      return { do: 'volume-by', share: 0.1 };
    case 'arrowdown':
      return { do: 'volume-by', share: -0.1 };
    case 'm':
      return { do: 'toggle-mute' };
    case 'c':
      return { do: 'toggle-captions' };
    case 'f':
      return { do: 'toggle-fullscreen' };
    case '?':
      return { do: 'help' };
    default:
      return null;
  }
}

/** What a focused control needs for itself: all keys of a text field, some of a button or a slider. */
export function belongsToControl(tagName: string, type: string, role: string, key: string): boolean {
  const tag = tagName.toLowerCase();
  const isArrow = key.startsWith('Arrow');
  const isPress = key === ' ' || key === 'Enter';
  if (tag === 'textarea' || tag === 'select' || role === 'textbox') return true;
  if (tag === 'input') return type === 'range' ? isArrow : true;
  if (role.startsWith('menu')) return isArrow || isPress;
  if (role === 'slider') return isArrow;
  if (tag === 'button' || tag === 'a' || tag === 'summary' || role === 'button') return isPress;
  return false;
}

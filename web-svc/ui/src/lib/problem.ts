/** RFC 9457 problem documents, and how a failed request is told to a person. */

export interface Problem {
  type: string;
  title: string;
  status: number;
  detail?: string;
  /** The request id, worth quoting to whoever runs the server. */
  instance?: string;
}

/** A request that did not succeed. `status` 0 means that no answer came at all. */
export class RequestFailed extends Error {
  readonly problem: Problem;

  constructor(problem: Problem) {
    super(problem.detail || problem.title);
    this.name = 'RequestFailed';
    this.problem = problem;
  }
}

/** What the page shows: what happened, why, and what can be done about it. */
export interface Explanation {
  what: string;
  why: string | null;
  todo: string;
  reference: string | null;
}

/** Reads the body of a failed answer; a proxy's HTML page or an empty body still makes a problem. */
export function parseProblem(status: number, contentType: string | null, body: string): Problem {
  const fallback = { type: 'about:blank', title: titleOf(status), status };
  if (!contentType?.includes('json')) return fallback;
  try {
    const value: unknown = JSON.parse(body);
    if (typeof value !== 'object' || value === null) return fallback;
    const field = (name: string): string | undefined => {
      const found = (value as Record<string, unknown>)[name];
      return typeof found === 'string' && found !== '' ? found : undefined;
    };
    return {
      type: field('type') ?? fallback.type,
      title: field('title') ?? fallback.title,
      status,
      detail: field('detail'),
      instance: field('instance'),
    };
  } catch {
    return fallback;
  }
}

export function noAnswer(): RequestFailed {
  return new RequestFailed({
    type: 'about:blank',
    title: 'The server did not answer',
    status: 0,
    detail: 'The connection was lost or could not be made.',
  });
}

/** Whether a change was refused because it was based on an older state. */
export function isOutdated(error: unknown): boolean {
  return error instanceof RequestFailed && error.problem.status === 412;
}

export function explain(error: unknown): Explanation {
  if (error instanceof RequestFailed) {
    const { type, title, detail, status, instance } = error.problem;
    const why = detail && detail !== title ? detail : null;
    return { what: title, why, todo: adviceFor(status, type), reference: instance ?? null };
  }
  const why = error instanceof Error ? error.message : String(error);
  return { what: 'Something went wrong in this page', why, todo: 'Reload the page and try again.', reference: null };
}

const TITLES: Record<number, string> = {
  400: 'The server did not understand the request',
  401: 'You are not signed in',
  403: 'You may not do this',
  404: 'This does not exist',
  409: 'Something changed in the meantime',
  412: 'Somebody else changed this in the meantime',
  413: 'The file is too large for this server',
  415: 'This is neither a video nor sound that the server can read',
  422: 'This is neither a video nor sound that the server can read',
  429: 'Too many requests',
  503: 'The server cannot do this right now',
  507: 'The server has no space left',
};

function titleOf(status: number): string {
  return TITLES[status] ?? (status >= 500 ? 'The server failed' : 'The request was refused');
}

function adviceFor(status: number, type: string): string {
  // Not about a video, and the detail names the line.
  if (type.endsWith(':unprocessable')) return 'Change what you sent and try again.';
  switch (status) {
    case 0:
      return 'Check that the server is running and that you are connected, then try again.';
    case 401:
    case 403:
      return 'Ask whoever runs this server for access.';
    case 404:
    case 410:
      return 'It may have been deleted. Go back to the library.';
    case 409:
    case 412:
      return 'Reload the page to see the current state, then try again.';
    case 413:
      return 'Choose a smaller file, or ask whoever runs this server to raise the limit.';
    case 400:
    case 415:
    case 422:
      return 'Check that the file is complete, for example by playing it on your computer.';
    case 429:
    case 503:
      return 'Wait a moment and try again.';
    case 507:
      return 'Delete videos you no longer need, or add a storage node.';
    default:
      return status >= 500
        ? 'Try again in a moment. If it happens again, tell whoever runs this server.'
        : 'Change what you sent and try again.';
  }
}

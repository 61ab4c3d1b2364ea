import { describe, expect, it } from 'vitest';
import { explain, noAnswer, parseProblem, RequestFailed } from '../../src/lib/problem';

const PROBLEM = 'application/problem+json';

describe('a problem document', () => {
  it('is told as what happened, why, what to do and which request', () => {
    const body = JSON.stringify({ type: '/problems/not-a-video', title: 'Not a video', status: 422, detail: 'It holds text.', instance: 'req-7' });
    const told = explain(new RequestFailed(parseProblem(422, PROBLEM, body)));
    expect(told).toEqual({
      what: 'Not a video',
      why: 'It holds text.',
      todo: 'Check that the file is complete, for example by playing it on your computer.',
      reference: 'req-7',
    });
  });

  it('does not say the same thing twice', () => {
    const body = JSON.stringify({ title: 'Too large', detail: 'Too large' });
    expect(explain(new RequestFailed(parseProblem(413, PROBLEM, body))).why).toBeNull();
  });
});

describe('an answer that is no problem document', () => {
  const cases: [string, string | null, string][] = [
    ['a page of a proxy', 'text/html', '<h1>413 Request Entity Too Large</h1>'],
    ['an empty body', null, ''],
    ['broken JSON', PROBLEM, '{"title":'],
    ['JSON of another shape', 'application/json', '[1, 2]'],
    ['fields of the wrong type', PROBLEM, '{"title": 7, "detail": {}}'],
  ];
  it.each(cases)('%s still explains itself by its status', (_name, type, body) => {
    const problem = parseProblem(413, type, body);
    expect(problem.title).toBe('The file is too large for this server');
    expect(problem.status).toBe(413);
    expect(problem.detail).toBeUndefined();
  });

  it('trusts the status line, not the body', () => {
    expect(parseProblem(503, PROBLEM, '{"title":"x","status":200}').status).toBe(503);
  });

  it('of an unknown kind has words too', () => {
    expect(parseProblem(599, null, '').title).toBe('The server failed');
    expect(parseProblem(418, null, '').title).toBe('The request was refused');
  });
});

it('no answer at all sends people to the server and the connection', () => {
  expect(explain(noAnswer()).todo).toContain('server is running');
});

it('an error of the page itself is not blamed on the server', () => {
  expect(explain(new TypeError('x is undefined')).what).toContain('this page');
});

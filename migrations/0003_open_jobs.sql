-- What a job waits for is looked for among the jobs of its generation that are not done: few, where hundreds are.

CREATE INDEX jobs_open ON jobs (video_id, generation, kind) WHERE state <> 'done';

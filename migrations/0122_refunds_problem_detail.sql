-- What lies behind the word in `problem`: WeChat's code, or what of its answer was not understood. So far only a log said so.
ALTER TABLE refunds ADD COLUMN problem_detail VARCHAR(200) NULL

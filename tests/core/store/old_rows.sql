-- What lies in the owner's database besides the example data: a parent run with the key the owner's
-- roadmap proposes, a score typed by hand, and test prompts of the owner's own.

ALTER TABLE training_runs ADD COLUMN parent_run_id INTEGER REFERENCES training_runs(id);
UPDATE training_runs
SET parent_run_id = (SELECT id FROM training_runs WHERE run_name = 'SD15_bespoke_baby_Nov7')
WHERE run_name = 'SD15_PERFECT_Nov9';
UPDATE epoch_results
SET visual_quality_score = 10, style_match_score = NULL, observations = 'I love this one'
WHERE epoch_number = 7 AND verdict = 'best';
INSERT INTO test_prompts (prompt_name, prompt_text) VALUES ('crown', 'pink hair, gold crown');
INSERT INTO prompt_test_results (epoch_result_id, test_prompt_id, passed, score)
SELECT er.id, tp.id, TRUE, 9 FROM epoch_results er CROSS JOIN test_prompts tp WHERE er.verdict = 'best';
INSERT INTO prompt_test_results (epoch_result_id, test_prompt_id, passed, score)
SELECT er.id, tp.id, FALSE, 3 FROM epoch_results er CROSS JOIN test_prompts tp WHERE er.verdict = 'best';

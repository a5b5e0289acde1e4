-- New columns in the owner's tables. Additive only: no type changes, nothing renamed, nothing dropped.

ALTER TABLE public.training_runs
    ADD COLUMN IF NOT EXISTS parent_run_id INTEGER,
    ADD COLUMN IF NOT EXISTS starting_checkpoint TEXT,
    ADD COLUMN IF NOT EXISTS convergence_status TEXT,
    ADD COLUMN IF NOT EXISTS convergence_epoch INTEGER,
    ADD COLUMN IF NOT EXISTS position_unit TEXT,
    ADD COLUMN IF NOT EXISTS model_family TEXT;

ALTER TABLE public.epoch_results
    ADD COLUMN IF NOT EXISTS visual_score NUMERIC,
    ADD COLUMN IF NOT EXISTS style_score NUMERIC,
    ADD COLUMN IF NOT EXISTS prompt_score NUMERIC,
    ADD COLUMN IF NOT EXISTS average_score NUMERIC,
    ADD COLUMN IF NOT EXISTS color_accuracy_score NUMERIC,
    ADD COLUMN IF NOT EXISTS style_quality_score NUMERIC,
    ADD COLUMN IF NOT EXISTS background_color TEXT,
    ADD COLUMN IF NOT EXISTS unique_colors INTEGER,
    ADD COLUMN IF NOT EXISTS convergence_status TEXT,
    ADD COLUMN IF NOT EXISTS picked BOOLEAN,
    ADD COLUMN IF NOT EXISTS updated_at TIMESTAMP;

ALTER TABLE public.prompt_test_results
    ADD COLUMN IF NOT EXISTS seed BIGINT,
    ADD COLUMN IF NOT EXISTS sample_id TEXT,
    ADD COLUMN IF NOT EXISTS score_exact NUMERIC;

CREATE UNIQUE INDEX IF NOT EXISTS prompt_test_results_once
    ON public.prompt_test_results (epoch_result_id, sample_id);

-- Deleting a parent run must never be blocked by, or take along, its children. A key that the owner
-- made otherwise is replaced; ids of runs long gone, in a column that had no key, are left alone.
DO $$
DECLARE
    wrong RECORD;
    parent SMALLINT := (
        SELECT attnum FROM pg_attribute
        WHERE attrelid = 'public.training_runs'::regclass AND attname = 'parent_run_id'
    );
BEGIN
    FOR wrong IN
        SELECT conname FROM pg_constraint
        WHERE contype = 'f' AND conrelid = 'public.training_runs'::regclass
          AND parent = ANY (conkey) AND confdeltype <> 'n'
    LOOP
        EXECUTE format('ALTER TABLE public.training_runs DROP CONSTRAINT %I', wrong.conname);
    END LOOP;
    IF NOT EXISTS (
        SELECT FROM pg_constraint
        WHERE contype = 'f' AND conrelid = 'public.training_runs'::regclass AND parent = ANY (conkey)
    ) THEN
        ALTER TABLE public.training_runs ADD CONSTRAINT training_runs_parent_run_id_fkey
            FOREIGN KEY (parent_run_id) REFERENCES public.training_runs (id)
            ON DELETE SET NULL NOT VALID;
        IF NOT EXISTS (
            SELECT FROM public.training_runs child
            WHERE child.parent_run_id IS NOT NULL AND NOT EXISTS (
                SELECT FROM public.training_runs WHERE id = child.parent_run_id
            )
        ) THEN
            ALTER TABLE public.training_runs VALIDATE CONSTRAINT training_runs_parent_run_id_fkey;
        END IF;
    END IF;
END
$$;

ALTER TABLE public.training_runs ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.epoch_results ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.test_prompts ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.prompt_test_results ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.caption_versions ENABLE ROW LEVEL SECURITY;
ALTER VIEW public.best_training_runs SET (security_invoker = true);
ALTER VIEW public.production_ready_epochs SET (security_invoker = true);
ALTER VIEW public.training_comparison SET (security_invoker = true);

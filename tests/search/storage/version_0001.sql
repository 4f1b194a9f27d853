BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('v3.2.0.a');
CREATE TABLE artifact (
	id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	kind VARCHAR(64) NOT NULL, 
	path TEXT NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (trial_id, kind), 
	FOREIGN KEY(trial_id) REFERENCES trial (id)
);
CREATE TABLE event (
	id INTEGER NOT NULL, 
	run_id INTEGER NOT NULL, 
	time DATETIME NOT NULL, 
	kind VARCHAR(64) NOT NULL, 
	trial_number INTEGER, 
	message TEXT NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(run_id) REFERENCES run (id)
);
INSERT INTO "event" VALUES(1,1,'2026-11-30 05:33:30.580144','finished',NULL,'4 trials: {''complete'': 4, ''pruned'': 0, ''failed'': 0, ''running'': 0}');
CREATE TABLE run (
	id INTEGER NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	settings JSON NOT NULL, 
	origin JSON NOT NULL, 
	created DATETIME NOT NULL, 
	finished DATETIME, 
	PRIMARY KEY (id), 
	UNIQUE (name)
);
INSERT INTO "run" VALUES(1,'old','{"budget": 4, "space": "blocks", "strategy": "random", "model": {"name": "embedded", "revision": null, "dtype": "float32", "attn_implementation": "sdpa", "trust_remote_code": false, "trainable": "mapping", "device": "auto", "masks": null}, "dataset": {"name": "embedded", "config": null, "revision": null, "image_column": null, "question_column": null, "answer_column": null, "choices_column": null, "kind_column": null, "train_split": null, "tune_split": null, "search_split": null, "test_split": null, "prompt": null, "choices_as": "letter", "max_train": 16, "max_tune": 16, "max_eval": 32, "max_calibration": 128, "streaming": false, "max_unreadable": 0.01}, "metric": "exact_match", "prunings": null, "minimize": "flops", "warm_start": [], "max_flops": null, "min_accuracy": null, "focus": null, "rungs": [{"tuning_steps": 0, "questions": 16, "split": "search", "margins": false, "importance": false, "latency": false}, {"tuning_steps": 1, "questions": null, "split": "search", "margins": false, "importance": false, "latency": false}], "keep_fraction": 0.3333333333333333, "tuning": {"learning_rate": 0.002, "weight_decay": 0.0, "images_per_step": 8, "questions_per_image": 8, "kl_weight": 0.0}, "seed": 0, "final_seeds": 3, "threads": 1, "time_limit": 1800.0, "workers": 1, "ray_address": null, "gpus_per_trial": 0.0, "callbacks": [], "out": "/home/me/runs/old", "storage": null}','{"num_blocks": 12, "space_size": "4096", "workload": {"visual_tokens": 16, "text_tokens": 9, "generated_tokens": 2.375, "images": 1, "batch": 1}, "dense_costs": {"flops": 79193652.0, "flops_ratio": 1.0, "sparse_flops": 79193652.0, "depth": 24, "parameter_bytes": 6073216, "kv_bytes_per_token": 9216, "flops_vision": 5628672, "flops_projector": 491520, "flops_prefill": 69235200, "flops_decode": 3815460.0, "flops_head": 22800.0}, "fingerprints": {"model": "118bdfa3c3ccf3c5", "data set": "3857e849e2cd98fe"}, "data": {"task": "questions", "metric": "exact_match", "columns": {}, "rows": {"train": 16, "tune": 16, "search": 32, "test": 32}, "skipped": {"train": 0, "tune": 0, "search": 0, "test": 0}}, "versions": {"python": "3.11.7", "skipsearch": "0.1.0", "torch": "2.13.0+cpu", "transformers": "5.23.0", "tokenizers": "0.23.3", "numpy": "2.4.6", "optuna": "5.0.0", "ray": "2.60.0", "SQLAlchemy": "2.1.9", "datasets": "5.2.0"}, "machine": "x86_64, 2 cores, Linux", "commit": "8c681bd1a34a31ed22013384c56ab4f96adcb910"}','2026-11-30 05:33:26.452156','2026-11-30 05:33:30.580483');
CREATE TABLE rung_result (
	id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	rung INTEGER NOT NULL, 
	split VARCHAR(16) NOT NULL, 
	accuracy DOUBLE NOT NULL, 
	flops DOUBLE NOT NULL, 
	flops_ratio DOUBLE NOT NULL, 
	questions INTEGER NOT NULL, 
	tuning_steps INTEGER NOT NULL, 
	metrics JSON NOT NULL, 
	costs JSON NOT NULL, 
	scores JSON NOT NULL, 
	created DATETIME NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (trial_id, rung, split), 
	FOREIGN KEY(trial_id) REFERENCES trial (id)
);
INSERT INTO "rung_result" VALUES(1,1,0,'search',1.0,79193652.0,1.0,16,0,'{"seed": 0, "accuracy_by_kind": {"color_at": 1.0, "color_of": 1.0, "count_color": 1.0, "digit_at": 1.0, "is_there": 1.0, "larger": 1.0, "read_row": 1.0, "where_is": 1.0}, "tuned": false, "tune_accuracy": null, "seconds": {"load": 0.053887242000200786, "tune": 3.045000084966887e-06, "evaluate": 0.02015588199992635, "margins": 4.005999926448567e-06, "importance": 2.2940002963878214e-06, "latency": 6.509999366244301e-07}, "margins": null, "importance": null, "latency": null}','{"flops": 79193652.0, "flops_ratio": 1.0, "sparse_flops": 79193652.0, "depth": 24, "parameter_bytes": 6073216, "kv_bytes_per_token": 9216, "flops_vision": 5628672, "flops_projector": 491520, "flops_prefill": 69235200, "flops_decode": 3815460.0, "flops_head": 22800.0}','[1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]','2026-11-30 05:33:29.709733');
INSERT INTO "rung_result" VALUES(2,1,1,'search',1.0,79193652.0,1.0,32,1,'{"seed": 0, "accuracy_by_kind": {"color_at": 1.0, "color_of": 1.0, "count_color": 1.0, "digit_at": 1.0, "is_there": 1.0, "larger": 1.0, "read_row": 1.0, "where_is": 1.0}, "tuned": false, "tune_accuracy": [0.8125, 0.8125], "seconds": {"load": 0.0, "tune": 0.14367796400028965, "evaluate": 0.02911856999980955, "margins": 6.068999937269837e-06, "importance": 2.7040000531997066e-06, "latency": 1.0109997674589977e-06}, "margins": null, "importance": null, "latency": null}','{"flops": 79193652.0, "flops_ratio": 1.0, "sparse_flops": 79193652.0, "depth": 24, "parameter_bytes": 6073216, "kv_bytes_per_token": 9216, "flops_vision": 5628672, "flops_projector": 491520, "flops_prefill": 69235200, "flops_decode": 3815460.0, "flops_head": 22800.0}','[1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]','2026-11-30 05:33:29.885950');
INSERT INTO "rung_result" VALUES(3,2,0,'search',0.4375,42668322.0,5.38784623797877171291e-01,16,0,'{"seed": 0, "accuracy_by_kind": {"color_at": 0.5, "color_of": 0.0, "count_color": 1.0, "digit_at": 0.5, "is_there": 0.0, "larger": 1.0, "read_row": 0.0, "where_is": 0.5}, "tuned": false, "tune_accuracy": null, "seconds": {"load": 0.00011588300003495533, "tune": 1.702000190562103e-06, "evaluate": 0.012128078999921854, "margins": 2.534000032028416e-06, "importance": 2.7940000109083485e-06, "latency": 6.509999366244301e-07}, "margins": null, "importance": null, "latency": null}','{"flops": 42668322.0, "flops_ratio": 0.5387846237978772, "sparse_flops": 42668322.0, "depth": 12, "parameter_bytes": 3414400, "kv_bytes_per_token": 4608, "flops_vision": 5628672, "flops_projector": 491520, "flops_prefill": 34617600, "flops_decode": 1907730.0, "flops_head": 22800.0}','[0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0]','2026-11-30 05:33:29.916474');
INSERT INTO "rung_result" VALUES(4,2,1,'search',0.5,42668322.0,5.38784623797877171291e-01,32,1,'{"seed": 0, "accuracy_by_kind": {"color_at": 0.5, "color_of": 0.0, "count_color": 1.0, "digit_at": 0.75, "is_there": 0.25, "larger": 0.75, "read_row": 0.25, "where_is": 0.5}, "tuned": false, "tune_accuracy": [0.3125, 0.3125], "seconds": {"load": 0.0, "tune": 0.06195512499971301, "evaluate": 0.014621798000007402, "margins": 2.835000032064272e-06, "importance": 2.592999862827128e-06, "latency": 4.810003702004906e-07}, "margins": null, "importance": null, "latency": null}','{"flops": 42668322.0, "flops_ratio": 0.5387846237978772, "sparse_flops": 42668322.0, "depth": 12, "parameter_bytes": 3414400, "kv_bytes_per_token": 4608, "flops_vision": 5628672, "flops_projector": 491520, "flops_prefill": 34617600, "flops_decode": 1907730.0, "flops_head": 22800.0}','[0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0]','2026-11-30 05:33:29.996104');
INSERT INTO "rung_result" VALUES(5,3,0,'search',0.0,6142992.0,7.75692475957542593167e-02,16,0,'{"seed": 0, "accuracy_by_kind": {"color_at": 0.0, "color_of": 0.0, "count_color": 0.0, "digit_at": 0.0, "is_there": 0.0, "larger": 0.0, "read_row": 0.0, "where_is": 0.0}, "tuned": false, "tune_accuracy": null, "seconds": {"load": 0.00010593799970592954, "tune": 1.5020000319054816e-06, "evaluate": 0.0016305720000673318, "margins": 1.0009998732130043e-06, "importance": 1.7030001799867023e-06, "latency": 3.5999983083456755e-07}, "margins": null, "importance": null, "latency": null}','{"flops": 6142992.0, "flops_ratio": 0.07756924759575426, "sparse_flops": 6142992.0, "depth": 0, "parameter_bytes": 755584, "kv_bytes_per_token": 0, "flops_vision": 5628672, "flops_projector": 491520, "flops_prefill": 0, "flops_decode": 0.0, "flops_head": 22800.0}','[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]','2026-11-30 05:33:30.009635');
INSERT INTO "rung_result" VALUES(6,3,1,'search',0.0,6142992.0,7.75692475957542593167e-02,32,1,'{"seed": 0, "accuracy_by_kind": {"color_at": 0.0, "color_of": 0.0, "count_color": 0.0, "digit_at": 0.0, "is_there": 0.0, "larger": 0.0, "read_row": 0.0, "where_is": 0.0}, "tuned": false, "tune_accuracy": [0.0, 0.0], "seconds": {"load": 0.0, "tune": 0.004760369999985414, "evaluate": 0.0012907349996567063, "margins": 7.809999260643963e-07, "importance": 1.6430003597633913e-06, "latency": 2.599999788799323e-07}, "margins": null, "importance": null, "latency": null}','{"flops": 6142992.0, "flops_ratio": 0.07756924759575426, "sparse_flops": 6142992.0, "depth": 0, "parameter_bytes": 755584, "kv_bytes_per_token": 0, "flops_vision": 5628672, "flops_projector": 491520, "flops_prefill": 0, "flops_decode": 0.0, "flops_head": 22800.0}','[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]','2026-11-30 05:33:30.017588');
INSERT INTO "rung_result" VALUES(7,4,0,'search',0.8125,42668322.0,5.38784623797877171291e-01,16,0,'{"seed": 0, "accuracy_by_kind": {"color_at": 1.0, "color_of": 1.0, "count_color": 1.0, "digit_at": 0.5, "is_there": 1.0, "larger": 1.0, "read_row": 1.0, "where_is": 0.0}, "tuned": false, "tune_accuracy": null, "seconds": {"load": 0.0001393480001752323, "tune": 8.110000635497272e-07, "evaluate": 0.010955679999824497, "margins": 1.202000021294225e-06, "importance": 1.6829999367473647e-06, "latency": 6.210002538864501e-07}, "margins": null, "importance": null, "latency": null}','{"flops": 42668322.0, "flops_ratio": 0.5387846237978772, "sparse_flops": 42668322.0, "depth": 12, "parameter_bytes": 3414400, "kv_bytes_per_token": 4608, "flops_vision": 5628672, "flops_projector": 491520, "flops_prefill": 34617600, "flops_decode": 1907730.0, "flops_head": 22800.0}','[0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0]','2026-11-30 05:33:30.039293');
INSERT INTO "rung_result" VALUES(8,4,1,'search',0.875,42668322.0,5.38784623797877171291e-01,32,1,'{"seed": 0, "accuracy_by_kind": {"color_at": 1.0, "color_of": 1.0, "count_color": 1.0, "digit_at": 0.75, "is_there": 1.0, "larger": 1.0, "read_row": 1.0, "where_is": 0.25}, "tuned": false, "tune_accuracy": [0.75, 0.6875], "seconds": {"load": 0.0, "tune": 0.060745029999907274, "evaluate": 0.015946084000006522, "margins": 5.748000148741994e-06, "importance": 4.2669998947530985e-06, "latency": 6.010000106471125e-07}, "margins": null, "importance": null, "latency": null}','{"flops": 42668322.0, "flops_ratio": 0.5387846237978772, "sparse_flops": 42668322.0, "depth": 12, "parameter_bytes": 3414400, "kv_bytes_per_token": 4608, "flops_vision": 5628672, "flops_projector": 491520, "flops_prefill": 34617600, "flops_decode": 1907730.0, "flops_head": 22800.0}','[0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0]','2026-11-30 05:33:30.118685');
INSERT INTO "rung_result" VALUES(9,1,0,'test',1.0,79193652.0,1.0,32,0,'{"seed": 0, "accuracy_by_kind": {"color_at": 1.0, "color_of": 1.0, "count_color": 1.0, "digit_at": 1.0, "is_there": 1.0, "larger": 1.0, "read_row": 1.0, "where_is": 1.0}, "tuned": false, "tune_accuracy": null, "seconds": {"load": 0.006406154999694991, "tune": 1.3720000424655154e-06, "evaluate": 0.028859684000053676, "margins": 3.465000190772116e-06, "importance": 1.5729997357993852e-06, "latency": 0.12237875600021653}, "margins": null, "importance": null, "latency": {"prefill_median": 0.0031309949999922537, "prefill_iqr": 0.0010371109999596229, "decode_median": 0.0015688500000123895, "decode_iqr": 8.19094999542358e-05}}','{"flops": 79193652.0, "flops_ratio": 1.0, "sparse_flops": 79193652.0, "depth": 24, "parameter_bytes": 6073216, "kv_bytes_per_token": 9216, "flops_vision": 5628672, "flops_projector": 491520, "flops_prefill": 69235200, "flops_decode": 3815460.0, "flops_head": 22800.0}','[1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]','2026-11-30 05:33:30.284904');
INSERT INTO "rung_result" VALUES(10,3,0,'test',0.03125,6142992.0,7.75692475957542593167e-02,32,0,'{"seed": 0, "accuracy_by_kind": {"color_at": 0.0, "color_of": 0.25, "count_color": 0.0, "digit_at": 0.0, "is_there": 0.0, "larger": 0.0, "read_row": 0.0, "where_is": 0.0}, "tuned": false, "tune_accuracy": null, "seconds": {"load": 9.498200006419211e-05, "tune": 1.4229999578674324e-06, "evaluate": 0.001974394000171742, "margins": 1.1219999578315765e-06, "importance": 1.0620001376082655e-06, "latency": 0.01764671000000817}, "margins": null, "importance": null, "latency": {"prefill_median": 0.0005448274998798297, "prefill_iqr": 4.196250017685088e-05, "decode_median": 0.00018630749991643825, "decode_iqr": 6.9950003762642154e-06}}','{"flops": 6142992.0, "flops_ratio": 0.07756924759575426, "sparse_flops": 6142992.0, "depth": 0, "parameter_bytes": 755584, "kv_bytes_per_token": 0, "flops_vision": 5628672, "flops_projector": 491520, "flops_prefill": 0, "flops_decode": 0.0, "flops_head": 22800.0}','[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]','2026-11-30 05:33:30.308687');
INSERT INTO "rung_result" VALUES(11,4,0,'test',0.84375,42668322.0,5.38784623797877171291e-01,32,0,'{"seed": 0, "accuracy_by_kind": {"color_at": 1.0, "color_of": 1.0, "count_color": 0.75, "digit_at": 1.0, "is_there": 0.75, "larger": 1.0, "read_row": 0.75, "where_is": 0.5}, "tuned": false, "tune_accuracy": null, "seconds": {"load": 8.960400009527802e-05, "tune": 9.419995876669418e-07, "evaluate": 0.015833816000395018, "margins": 1.8529999579186551e-06, "importance": 3.3549999898241367e-06, "latency": 0.06365789499977836}, "margins": null, "importance": null, "latency": {"prefill_median": 0.001818822999666736, "prefill_iqr": 4.730374985228991e-05, "decode_median": 0.0008792109999831155, "decode_iqr": 5.0415000259818044e-05}}','{"flops": 42668322.0, "flops_ratio": 0.5387846237978772, "sparse_flops": 42668322.0, "depth": 12, "parameter_bytes": 3414400, "kv_bytes_per_token": 4608, "flops_vision": 5628672, "flops_projector": 491520, "flops_prefill": 34617600, "flops_decode": 1907730.0, "flops_head": 22800.0}','[1.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0]','2026-11-30 05:33:30.392249');
INSERT INTO "rung_result" VALUES(12,3,1,'test',0.03125,6142992.0,7.75692475957542593167e-02,32,1,'{"seed": 1, "accuracy_by_kind": {"color_at": 0.0, "color_of": 0.25, "count_color": 0.0, "digit_at": 0.0, "is_there": 0.0, "larger": 0.0, "read_row": 0.0, "where_is": 0.0}, "tuned": false, "tune_accuracy": [0.0, 0.0], "seconds": {"load": 0.000203012000383751, "tune": 0.005649415999869234, "evaluate": 0.0012563140003294393, "margins": 1.020999661704991e-06, "importance": 1.142000201070914e-06, "latency": 3.0999990485724993e-07}, "margins": null, "importance": null, "latency": null}','{"flops": 6142992.0, "flops_ratio": 0.07756924759575426, "sparse_flops": 6142992.0, "depth": 0, "parameter_bytes": 755584, "kv_bytes_per_token": 0, "flops_vision": 5628672, "flops_projector": 491520, "flops_prefill": 0, "flops_decode": 0.0, "flops_head": 22800.0}','[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]','2026-11-30 05:33:30.403337');
INSERT INTO "rung_result" VALUES(13,4,1,'test',0.84375,42668322.0,5.38784623797877171291e-01,32,1,'{"seed": 1, "accuracy_by_kind": {"color_at": 1.0, "color_of": 1.0, "count_color": 0.75, "digit_at": 1.0, "is_there": 0.75, "larger": 1.0, "read_row": 0.75, "where_is": 0.5}, "tuned": false, "tune_accuracy": [0.75, 0.6875], "seconds": {"load": 8.656900035930448e-05, "tune": 0.0629442200001904, "evaluate": 0.014864309999666148, "margins": 6.420000318030361e-06, "importance": 1.6119997781061102e-06, "latency": 5.910001164011192e-07}, "margins": null, "importance": null, "latency": null}','{"flops": 42668322.0, "flops_ratio": 0.5387846237978772, "sparse_flops": 42668322.0, "depth": 12, "parameter_bytes": 3414400, "kv_bytes_per_token": 4608, "flops_vision": 5628672, "flops_projector": 491520, "flops_prefill": 34617600, "flops_decode": 1907730.0, "flops_head": 22800.0}','[1.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0]','2026-11-30 05:33:30.485332');
INSERT INTO "rung_result" VALUES(14,3,2,'test',0.03125,6142992.0,7.75692475957542593167e-02,32,1,'{"seed": 2, "accuracy_by_kind": {"color_at": 0.0, "color_of": 0.25, "count_color": 0.0, "digit_at": 0.0, "is_there": 0.0, "larger": 0.0, "read_row": 0.0, "where_is": 0.0}, "tuned": false, "tune_accuracy": [0.0, 0.0], "seconds": {"load": 0.00020179100010864204, "tune": 0.0054366479998861905, "evaluate": 0.0014099029999670165, "margins": 8.609999895270448e-07, "importance": 1.2820000847568735e-06, "latency": 2.4099972506519407e-07}, "margins": null, "importance": null, "latency": null}','{"flops": 6142992.0, "flops_ratio": 0.07756924759575426, "sparse_flops": 6142992.0, "depth": 0, "parameter_bytes": 755584, "kv_bytes_per_token": 0, "flops_vision": 5628672, "flops_projector": 491520, "flops_prefill": 0, "flops_decode": 0.0, "flops_head": 22800.0}','[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]','2026-11-30 05:33:30.496387');
INSERT INTO "rung_result" VALUES(15,4,2,'test',0.84375,42668322.0,5.38784623797877171291e-01,32,1,'{"seed": 2, "accuracy_by_kind": {"color_at": 1.0, "color_of": 1.0, "count_color": 0.75, "digit_at": 1.0, "is_there": 0.75, "larger": 1.0, "read_row": 0.75, "where_is": 0.5}, "tuned": false, "tune_accuracy": [0.75, 0.6875], "seconds": {"load": 8.852200016917777e-05, "tune": 0.06216994600026737, "evaluate": 0.015032581000014034, "margins": 3.6649998946813866e-06, "importance": 1.782999788702e-06, "latency": 9.110003702517133e-07}, "margins": null, "importance": null, "latency": null}','{"flops": 42668322.0, "flops_ratio": 0.5387846237978772, "sparse_flops": 42668322.0, "depth": 12, "parameter_bytes": 3414400, "kv_bytes_per_token": 4608, "flops_vision": 5628672, "flops_projector": 491520, "flops_prefill": 34617600, "flops_decode": 1907730.0, "flops_head": 22800.0}','[1.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0]','2026-11-30 05:33:30.577625');
CREATE TABLE studies (
	study_id INTEGER NOT NULL, 
	study_name VARCHAR(512) NOT NULL, 
	PRIMARY KEY (study_id)
);
INSERT INTO "studies" VALUES(1,'old');
CREATE TABLE study_directions (
	study_direction_id INTEGER NOT NULL, 
	direction VARCHAR(8) NOT NULL, 
	study_id INTEGER NOT NULL, 
	objective INTEGER NOT NULL, 
	PRIMARY KEY (study_direction_id), 
	UNIQUE (study_id, objective), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "study_directions" VALUES(1,'MAXIMIZE',1,0);
INSERT INTO "study_directions" VALUES(2,'MINIMIZE',1,1);
CREATE TABLE study_system_attributes (
	study_system_attribute_id INTEGER NOT NULL, 
	study_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (study_system_attribute_id), 
	UNIQUE (study_id, "key"), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "study_system_attributes" VALUES(1,1,'study:metric_names','["accuracy", "flops_ratio"]');
INSERT INTO "study_system_attributes" VALUES(2,1,'dashboard:1:note_str:0','"`............` \u2014 baseline dense\n\n`\u2588\u2588\u2588\u2588\u2588\u2588\u2588\u2588\u2588\u2588\u2588\u2588`\n\n`\u2588` whole block, `\u2580` attention only, `\u2584` FFN only, `\u2591` skipped, `\u2593` both in parallel, `\u2590\u258c` a pair\n\n**complete**\n\naccuracy per rung: 1.000 \u2192 1.000\n\n0.07919 GFLOPs, 100.0% of dense; depth 24 sub-layers"');
INSERT INTO "study_system_attributes" VALUES(3,1,'dashboard:1:note_ver','1');
INSERT INTO "study_system_attributes" VALUES(4,1,'dashboard:2:note_str:0','"`..bb.bbbb...` \u2014 random\n\n`\u2588\u2588\u2591\u2591\u2588\u2591\u2591\u2591\u2591\u2588\u2588\u2588`\n\n`\u2588` whole block, `\u2580` attention only, `\u2584` FFN only, `\u2591` skipped, `\u2593` both in parallel, `\u2590\u258c` a pair\n\n**complete**\n\naccuracy per rung: 0.438 \u2192 0.500\n\n0.04267 GFLOPs, 53.9% of dense; depth 12 sub-layers"');
INSERT INTO "study_system_attributes" VALUES(5,1,'dashboard:2:note_ver','1');
INSERT INTO "study_system_attributes" VALUES(6,1,'dashboard:3:note_str:0','"`bbbbbbbbbbbb` \u2014 random\n\n`\u2591\u2591\u2591\u2591\u2591\u2591\u2591\u2591\u2591\u2591\u2591\u2591`\n\n`\u2588` whole block, `\u2580` attention only, `\u2584` FFN only, `\u2591` skipped, `\u2593` both in parallel, `\u2590\u258c` a pair\n\n**complete**\n\naccuracy per rung: 0.000 \u2192 0.000\n\n0.006143 GFLOPs, 7.8% of dense; depth 0 sub-layers"');
INSERT INTO "study_system_attributes" VALUES(7,1,'dashboard:3:note_ver','1');
INSERT INTO "study_system_attributes" VALUES(8,1,'dashboard:4:note_str:0','"`...b..bbbb.b` \u2014 random\n\n`\u2588\u2588\u2588\u2591\u2588\u2588\u2591\u2591\u2591\u2591\u2588\u2591`\n\n`\u2588` whole block, `\u2580` attention only, `\u2584` FFN only, `\u2591` skipped, `\u2593` both in parallel, `\u2590\u258c` a pair\n\n**complete**\n\naccuracy per rung: 0.812 \u2192 0.875\n\n0.04267 GFLOPs, 53.9% of dense; depth 12 sub-layers"');
INSERT INTO "study_system_attributes" VALUES(9,1,'dashboard:4:note_ver','1');
CREATE TABLE study_user_attributes (
	study_user_attribute_id INTEGER NOT NULL, 
	study_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (study_user_attribute_id), 
	UNIQUE (study_id, "key"), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
CREATE TABLE trial (
	id INTEGER NOT NULL, 
	run_id INTEGER NOT NULL, 
	number INTEGER NOT NULL, 
	"plan" TEXT NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	origin VARCHAR(255) NOT NULL, 
	request JSON NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	reason TEXT, 
	attempt INTEGER NOT NULL, 
	worker JSON, 
	started DATETIME NOT NULL, 
	finished DATETIME, 
	PRIMARY KEY (id), 
	UNIQUE (run_id, number), 
	FOREIGN KEY(run_id) REFERENCES run (id)
);
INSERT INTO "trial" VALUES(1,1,0,'............','0416f1408ffced6717364bc00392423d5781b0e8a176cd8439423ea9ad007f51','baseline dense','{"number": 0, "plan": {"schema": 1, "blocks": [{"op": "keep"}, {"op": "keep"}, {"op": "keep"}, {"op": "keep"}, {"op": "keep"}, {"op": "keep"}, {"op": "keep"}, {"op": "keep"}, {"op": "keep"}, {"op": "keep"}, {"op": "keep"}, {"op": "keep"}], "pruning": null}, "model": {"name": "embedded", "revision": null, "dtype": "float32", "attn_implementation": "sdpa", "trust_remote_code": false, "trainable": "mapping", "device": "auto", "masks": null}, "data": {"name": "embedded", "config": null, "revision": null, "image_column": null, "question_column": null, "answer_column": null, "choices_column": null, "kind_column": null, "train_split": null, "tune_split": null, "search_split": null, "test_split": null, "prompt": null, "choices_as": "letter", "max_train": 16, "max_tune": 16, "max_eval": 32, "max_calibration": 128, "streaming": false, "max_unreadable": 0.01}, "metric": "exact_match", "workload": {"visual_tokens": 16.0, "text_tokens": 9.0, "generated_tokens": 2.375, "images": 1.0, "batch": 1.0}, "tuning": {"learning_rate": 0.002, "weight_decay": 0.0, "images_per_step": 8, "questions_per_image": 8, "kl_weight": 0.0}, "rungs": [{"tuning_steps": 0, "questions": 16, "split": "search", "margins": false, "importance": false, "latency": false}, {"tuning_steps": 1, "questions": null, "split": "search", "margins": false, "importance": false, "latency": false}], "first_rung": 0, "seed": 0, "threads": 1, "time_limit": 1800.0, "mapping_module": null, "artifacts": "/home/me/runs/old/artifacts"}','complete',NULL,1,'{"versions": {"python": "3.11.7", "skipsearch": "0.1.0", "torch": "2.13.0+cpu", "transformers": "5.23.0", "tokenizers": "0.23.3", "numpy": "2.4.6", "optuna": "5.0.0", "ray": "2.60.0", "SQLAlchemy": "2.1.9", "datasets": "5.2.0"}, "commit": "8c681bd1a34a31ed22013384c56ab4f96adcb910", "machine": "x86_64", "device": "cpu", "threads": 1, "seed": 0, "fingerprints": {"model": "118bdfa3c3ccf3c5", "data": "b635a8ec0b307f36"}, "metric": "exact_match", "skipped_images": {"search": 0, "tune": 0, "train": 0}}','2026-11-30 05:33:29.629730','2026-11-30 05:33:29.887912');
INSERT INTO "trial" VALUES(2,1,1,'..bb.bbbb...','bcdb3a0d8f057ef6034666ba27cdd0da4b3a6830feb315585c8c0c308b5046a2','random','{"number": 1, "plan": {"schema": 1, "blocks": [{"op": "keep"}, {"op": "keep"}, {"op": "skip_block"}, {"op": "skip_block"}, {"op": "keep"}, {"op": "skip_block"}, {"op": "skip_block"}, {"op": "skip_block"}, {"op": "skip_block"}, {"op": "keep"}, {"op": "keep"}, {"op": "keep"}], "pruning": null}, "model": {"name": "embedded", "revision": null, "dtype": "float32", "attn_implementation": "sdpa", "trust_remote_code": false, "trainable": "mapping", "device": "auto", "masks": null}, "data": {"name": "embedded", "config": null, "revision": null, "image_column": null, "question_column": null, "answer_column": null, "choices_column": null, "kind_column": null, "train_split": null, "tune_split": null, "search_split": null, "test_split": null, "prompt": null, "choices_as": "letter", "max_train": 16, "max_tune": 16, "max_eval": 32, "max_calibration": 128, "streaming": false, "max_unreadable": 0.01}, "metric": "exact_match", "workload": {"visual_tokens": 16.0, "text_tokens": 9.0, "generated_tokens": 2.375, "images": 1.0, "batch": 1.0}, "tuning": {"learning_rate": 0.002, "weight_decay": 0.0, "images_per_step": 8, "questions_per_image": 8, "kl_weight": 0.0}, "rungs": [{"tuning_steps": 0, "questions": 16, "split": "search", "margins": false, "importance": false, "latency": false}, {"tuning_steps": 1, "questions": null, "split": "search", "margins": false, "importance": false, "latency": false}], "first_rung": 0, "seed": 0, "threads": 1, "time_limit": 1800.0, "mapping_module": null, "artifacts": "/home/me/runs/old/artifacts"}','complete',NULL,1,'{"versions": {"python": "3.11.7", "skipsearch": "0.1.0", "torch": "2.13.0+cpu", "transformers": "5.23.0", "tokenizers": "0.23.3", "numpy": "2.4.6", "optuna": "5.0.0", "ray": "2.60.0", "SQLAlchemy": "2.1.9", "datasets": "5.2.0"}, "commit": "8c681bd1a34a31ed22013384c56ab4f96adcb910", "machine": "x86_64", "device": "cpu", "threads": 1, "seed": 0, "fingerprints": {"model": "118bdfa3c3ccf3c5", "data": "b635a8ec0b307f36"}, "metric": "exact_match", "skipped_images": {"search": 0, "tune": 0, "train": 0}}','2026-11-30 05:33:29.901604','2026-11-30 05:33:29.997772');
INSERT INTO "trial" VALUES(3,1,2,'bbbbbbbbbbbb','162861d133a7596b12ce60cdbd3487da694e7aeeca9aab3193ef9e54431610f0','random','{"number": 2, "plan": {"schema": 1, "blocks": [{"op": "skip_block"}, {"op": "skip_block"}, {"op": "skip_block"}, {"op": "skip_block"}, {"op": "skip_block"}, {"op": "skip_block"}, {"op": "skip_block"}, {"op": "skip_block"}, {"op": "skip_block"}, {"op": "skip_block"}, {"op": "skip_block"}, {"op": "skip_block"}], "pruning": null}, "model": {"name": "embedded", "revision": null, "dtype": "float32", "attn_implementation": "sdpa", "trust_remote_code": false, "trainable": "mapping", "device": "auto", "masks": null}, "data": {"name": "embedded", "config": null, "revision": null, "image_column": null, "question_column": null, "answer_column": null, "choices_column": null, "kind_column": null, "train_split": null, "tune_split": null, "search_split": null, "test_split": null, "prompt": null, "choices_as": "letter", "max_train": 16, "max_tune": 16, "max_eval": 32, "max_calibration": 128, "streaming": false, "max_unreadable": 0.01}, "metric": "exact_match", "workload": {"visual_tokens": 16.0, "text_tokens": 9.0, "generated_tokens": 2.375, "images": 1.0, "batch": 1.0}, "tuning": {"learning_rate": 0.002, "weight_decay": 0.0, "images_per_step": 8, "questions_per_image": 8, "kl_weight": 0.0}, "rungs": [{"tuning_steps": 0, "questions": 16, "split": "search", "margins": false, "importance": false, "latency": false}, {"tuning_steps": 1, "questions": null, "split": "search", "margins": false, "importance": false, "latency": false}], "first_rung": 0, "seed": 0, "threads": 1, "time_limit": 1800.0, "mapping_module": null, "artifacts": "/home/me/runs/old/artifacts"}','complete',NULL,1,'{"versions": {"python": "3.11.7", "skipsearch": "0.1.0", "torch": "2.13.0+cpu", "transformers": "5.23.0", "tokenizers": "0.23.3", "numpy": "2.4.6", "optuna": "5.0.0", "ray": "2.60.0", "SQLAlchemy": "2.1.9", "datasets": "5.2.0"}, "commit": "8c681bd1a34a31ed22013384c56ab4f96adcb910", "machine": "x86_64", "device": "cpu", "threads": 1, "seed": 0, "fingerprints": {"model": "118bdfa3c3ccf3c5", "data": "b635a8ec0b307f36"}, "metric": "exact_match", "skipped_images": {"search": 0, "tune": 0, "train": 0}}','2026-11-30 05:33:30.005776','2026-11-30 05:33:30.018692');
INSERT INTO "trial" VALUES(4,1,3,'...b..bbbb.b','5e4ccda6db8076dfab9bd7cf73e874a6246da5f22458749339679b8679322f45','random','{"number": 3, "plan": {"schema": 1, "blocks": [{"op": "keep"}, {"op": "keep"}, {"op": "keep"}, {"op": "skip_block"}, {"op": "keep"}, {"op": "keep"}, {"op": "skip_block"}, {"op": "skip_block"}, {"op": "skip_block"}, {"op": "skip_block"}, {"op": "keep"}, {"op": "skip_block"}], "pruning": null}, "model": {"name": "embedded", "revision": null, "dtype": "float32", "attn_implementation": "sdpa", "trust_remote_code": false, "trainable": "mapping", "device": "auto", "masks": null}, "data": {"name": "embedded", "config": null, "revision": null, "image_column": null, "question_column": null, "answer_column": null, "choices_column": null, "kind_column": null, "train_split": null, "tune_split": null, "search_split": null, "test_split": null, "prompt": null, "choices_as": "letter", "max_train": 16, "max_tune": 16, "max_eval": 32, "max_calibration": 128, "streaming": false, "max_unreadable": 0.01}, "metric": "exact_match", "workload": {"visual_tokens": 16.0, "text_tokens": 9.0, "generated_tokens": 2.375, "images": 1.0, "batch": 1.0}, "tuning": {"learning_rate": 0.002, "weight_decay": 0.0, "images_per_step": 8, "questions_per_image": 8, "kl_weight": 0.0}, "rungs": [{"tuning_steps": 0, "questions": 16, "split": "search", "margins": false, "importance": false, "latency": false}, {"tuning_steps": 1, "questions": null, "split": "search", "margins": false, "importance": false, "latency": false}], "first_rung": 0, "seed": 0, "threads": 1, "time_limit": 1800.0, "mapping_module": null, "artifacts": "/home/me/runs/old/artifacts"}','complete',NULL,1,'{"versions": {"python": "3.11.7", "skipsearch": "0.1.0", "torch": "2.13.0+cpu", "transformers": "5.23.0", "tokenizers": "0.23.3", "numpy": "2.4.6", "optuna": "5.0.0", "ray": "2.60.0", "SQLAlchemy": "2.1.9", "datasets": "5.2.0"}, "commit": "8c681bd1a34a31ed22013384c56ab4f96adcb910", "machine": "x86_64", "device": "cpu", "threads": 1, "seed": 0, "fingerprints": {"model": "118bdfa3c3ccf3c5", "data": "b635a8ec0b307f36"}, "metric": "exact_match", "skipped_images": {"search": 0, "tune": 0, "train": 0}}','2026-11-30 05:33:30.026163','2026-11-30 05:33:30.120273');
CREATE TABLE trial_heartbeats (
	trial_heartbeat_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	heartbeat DATETIME NOT NULL, 
	PRIMARY KEY (trial_heartbeat_id), 
	UNIQUE (trial_id), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
CREATE TABLE trial_intermediate_values (
	trial_intermediate_value_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	step INTEGER NOT NULL, 
	intermediate_value FLOAT, 
	intermediate_value_type VARCHAR(7) NOT NULL, 
	PRIMARY KEY (trial_intermediate_value_id), 
	UNIQUE (trial_id, step), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
CREATE TABLE trial_params (
	param_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	param_name VARCHAR(512), 
	param_value FLOAT, 
	distribution_json TEXT, 
	PRIMARY KEY (param_id), 
	UNIQUE (trial_id, param_name), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_params" VALUES(1,1,'num_attention',12.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 12}}');
INSERT INTO "trial_params" VALUES(2,1,'num_ffn',12.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 12}}');
INSERT INTO "trial_params" VALUES(3,2,'num_attention',6.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 12}}');
INSERT INTO "trial_params" VALUES(4,2,'num_ffn',6.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 12}}');
INSERT INTO "trial_params" VALUES(5,3,'num_attention',0.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 12}}');
INSERT INTO "trial_params" VALUES(6,3,'num_ffn',0.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 12}}');
INSERT INTO "trial_params" VALUES(7,4,'num_attention',6.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 12}}');
INSERT INTO "trial_params" VALUES(8,4,'num_ffn',6.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 12}}');
CREATE TABLE trial_system_attributes (
	trial_system_attribute_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (trial_system_attribute_id), 
	UNIQUE (trial_id, "key"), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
CREATE TABLE trial_user_attributes (
	trial_user_attribute_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (trial_user_attribute_id), 
	UNIQUE (trial_id, "key"), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_user_attributes" VALUES(1,1,'plan','"............"');
INSERT INTO "trial_user_attributes" VALUES(2,1,'origin','"baseline dense"');
INSERT INTO "trial_user_attributes" VALUES(3,1,'rung_0','{"accuracy": 1.0, "tuning_steps": 0, "questions": 16}');
INSERT INTO "trial_user_attributes" VALUES(4,1,'rung_1','{"accuracy": 1.0, "tuning_steps": 1, "questions": 32}');
INSERT INTO "trial_user_attributes" VALUES(5,2,'plan','"..bb.bbbb..."');
INSERT INTO "trial_user_attributes" VALUES(6,2,'origin','"random"');
INSERT INTO "trial_user_attributes" VALUES(7,2,'rung_0','{"accuracy": 0.4375, "tuning_steps": 0, "questions": 16}');
INSERT INTO "trial_user_attributes" VALUES(8,2,'rung_1','{"accuracy": 0.5, "tuning_steps": 1, "questions": 32}');
INSERT INTO "trial_user_attributes" VALUES(9,3,'plan','"bbbbbbbbbbbb"');
INSERT INTO "trial_user_attributes" VALUES(10,3,'origin','"random"');
INSERT INTO "trial_user_attributes" VALUES(11,3,'rung_0','{"accuracy": 0.0, "tuning_steps": 0, "questions": 16}');
INSERT INTO "trial_user_attributes" VALUES(12,3,'rung_1','{"accuracy": 0.0, "tuning_steps": 1, "questions": 32}');
INSERT INTO "trial_user_attributes" VALUES(13,4,'plan','"...b..bbbb.b"');
INSERT INTO "trial_user_attributes" VALUES(14,4,'origin','"random"');
INSERT INTO "trial_user_attributes" VALUES(15,4,'rung_0','{"accuracy": 0.8125, "tuning_steps": 0, "questions": 16}');
INSERT INTO "trial_user_attributes" VALUES(16,4,'rung_1','{"accuracy": 0.875, "tuning_steps": 1, "questions": 32}');
CREATE TABLE trial_values (
	trial_value_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	objective INTEGER NOT NULL, 
	value FLOAT, 
	value_type VARCHAR(7) NOT NULL, 
	PRIMARY KEY (trial_value_id), 
	UNIQUE (trial_id, objective), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_values" VALUES(1,1,0,1.0,'FINITE');
INSERT INTO "trial_values" VALUES(2,1,1,1.0,'FINITE');
INSERT INTO "trial_values" VALUES(3,2,0,0.5,'FINITE');
INSERT INTO "trial_values" VALUES(4,2,1,5.38784623797877171291e-01,'FINITE');
INSERT INTO "trial_values" VALUES(5,3,0,0.0,'FINITE');
INSERT INTO "trial_values" VALUES(6,3,1,7.75692475957542593167e-02,'FINITE');
INSERT INTO "trial_values" VALUES(7,4,0,0.875,'FINITE');
INSERT INTO "trial_values" VALUES(8,4,1,5.38784623797877171291e-01,'FINITE');
CREATE TABLE trials (
	trial_id INTEGER NOT NULL, 
	number INTEGER, 
	study_id INTEGER, 
	state VARCHAR(8) NOT NULL, 
	datetime_start DATETIME, 
	datetime_complete DATETIME, 
	PRIMARY KEY (trial_id), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "trials" VALUES(1,0,1,'COMPLETE','2026-11-30 05:33:29.619105','2026-11-30 05:33:29.893227');
INSERT INTO "trials" VALUES(2,1,1,'COMPLETE','2026-11-30 05:33:29.897188','2026-11-30 05:33:30.000734');
INSERT INTO "trials" VALUES(3,2,1,'COMPLETE','2026-11-30 05:33:30.001889','2026-11-30 05:33:30.021311');
INSERT INTO "trials" VALUES(4,3,1,'COMPLETE','2026-11-30 05:33:30.022309','2026-11-30 05:33:30.123184');
CREATE TABLE version_info (
	version_info_id INTEGER NOT NULL, 
	schema_version INTEGER, 
	library_version VARCHAR(256), 
	PRIMARY KEY (version_info_id), 
	CHECK (version_info_id=1)
);
INSERT INTO "version_info" VALUES(1,12,'5.0.0');
CREATE INDEX ix_trial_run_id ON trial (run_id);
CREATE INDEX event_by_run ON event (run_id, time);
CREATE INDEX ix_rung_result_trial_id ON rung_result (trial_id);
CREATE INDEX ix_artifact_trial_id ON artifact (trial_id);
CREATE UNIQUE INDEX ix_studies_study_name ON studies (study_name);
CREATE INDEX ix_trials_study_id ON trials (study_id);
COMMIT;

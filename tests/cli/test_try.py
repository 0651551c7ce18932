import time


def test_seg(cli):
    for i in range(2):
        pass
        t = time.time()
        out = cli.train(
            "seg",
            "--weights",
            "none",
            "--work-dir",
            f"w{i}",
            "--seed",
            "0",
            options="train_cfg.max_iters=4 train_cfg.val_interval=2 default_hooks.logger.interval=1 default_hooks.checkpoint.interval=2",
        )
        pass
        with cli.capfd.disabled():
            print(time.time() - t)


def test_det(cli):
    for i in range(2):
        pass
        t = time.time()
        out = cli.train(
            "det",
            "--weights",
            "none",
            "--work-dir",
            f"w{i}",
            "--seed",
            "0",
            options="train_cfg.max_epochs=2 default_hooks.logger.interval=1",
        )
        pass
        with cli.capfd.disabled():
            print(time.time() - t)

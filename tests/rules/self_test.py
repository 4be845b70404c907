#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Plants one violation of every rule in a small tree and sees it found, at its file and line; and sees the same tree
pass without it. A rule without a plant fails here."""
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
SPDX = "// SPDX-License-Identifier: Apache-2.0\n"
PAGE = "<!-- SPDX-License-Identifier: Apache-2.0 -->\n"

CLEAN = {
    "CMakeLists.txt": "# SPDX-License-Identifier: Apache-2.0\nproject(ocoee VERSION 0.1.0)\n",
    "CHANGELOG.md": PAGE + "# Changelog\n\n## 0.1.0\n\n- One.\n",
    "README.md": PAGE + "# Name\n\n## A part, `code`\n\n[to the page](docs/page.md), [here](#a-part-code)\n",
    "docs/page.md": PAGE + "# Page\n\n[back](../README.md#a-part-code) `[no](link.md)` `src/NAME/a.cpp` `core/a.h`, `data/x.gz`\n",
    "recipes/one.toml": "# SPDX-License-Identifier: Apache-2.0\nversion = 1\n",
    ".clang-format": "BasedOnStyle: Google\nColumnLimit: 100\nIncludeBlocks: Preserve\nSortIncludes: Never\n",
    "dev": "#!/usr/bin/env bash\n# SPDX-License-Identifier: Apache-2.0\necho yes\n",
    "src/core/a.h": SPDX + "#pragma once\n",
    "src/core/config_toml.cpp": SPDX + "#include <toml++/toml.h>\n",
    "src/comm/a.cpp": SPDX + '#include <mpi.h>\n#include <nccl.h>\n\n#include "core/a.h"\n',
    "src/nn/a.cpp": SPDX + '#include <ATen/ATen.h>\n\n#include "core/a.h"\n',
    "src/tasks/x/a_build.cpp": SPDX + "#include <torch/torch.h>\n",
    "src/kernels/a.cu": SPDX + "#include <cuda_runtime.h>\n",
    "src/run/a_cuda.cpp": SPDX + "#include <cuda_runtime.h>\n",
}

# rule: [(file, its planted text, line where it must be found)]
PLANTS = {
    "room-direction": [("src/core/b.h", SPDX + '#pragma once\n#include "run/task.h"\n', 3),
                       ("src/attic/b.h", SPDX + "#pragma once\n", 1),
                       ("src/run/b.h", SPDX + '#pragma once\n#include "../core/a.h"\n', 3)],
    "torch-headers": [("src/run/b.cpp", SPDX + "#include <torch/torch.h>\n", 2),
                      ("src/nn/b.cu", SPDX + "#include <ATen/ATen.h>\n", 2),
                      ("src/tasks/x/b.cpp", SPDX + "#include <c10/core/ScalarType.h>\n", 2)],
    "mpi-headers": [("src/run/b.cpp", SPDX + "#include <mpi.h>\n", 2)],
    "nccl-headers": [("src/parallel/b.cpp", SPDX + "#include <nccl.h>\n", 2)],
    "cuda-headers": [("src/run/b.cpp", SPDX + "#include <cuda_runtime.h>\n", 2),
                     ("src/nn/b.cpp", SPDX + "#include <cublas_v2.h>\n", 2)],
    "toml-headers": [("src/core/b.cpp", SPDX + "#include <toml++/toml.h>\n", 2)],
    "licence-lines": [("src/core/b.cpp", "int a;\n", 1), ("tests/x/CMakeLists.txt", "\n", 1), ("a/b.py", "\n", 1),
                      ("docs/page.md", "# Page\n\n[x](../README.md)\n", 1), ("recipes/two.toml", "version = 1\n", 1)],
    "headers-once": [("src/core/b.h", SPDX + "int a;\n", 1)],
    "nothing-left-undone": [("src/core/b.cpp", SPDX + "// TO" + "DO later\n", 2)],
    "file-size": [("src/core/b.cpp", SPDX + "\n" * 800, 800)],
    "no-machine-paths": [("docs/page.md", "# Page\n\n[x](../README.md)\ncd /wo" + "rk/tree\n", 4),
                         ("src/core/b.cpp", SPDX + '// "/ho' + 'me/one/x"\n', 2)],
    "changelog": [("CMakeLists.txt", "# SPDX-License-Identifier: Apache-2.0\nproject(ocoee VERSION 0.2.0)\n", None)],
    "links": [("docs/page.md", "# Page\n\n[x](nowhere.md)\n", 3), ("docs/page.md", "# Page\n\n[x](../README.md#none)\n", 3)],
    "documents-linked": [("docs/lonely.md", "# Lonely\n", 1)],
    "paths-exist": [("docs/page.md", "# Page\n\n[x](../README.md) `src/core/none.h`\n", 3),
                    ("docs/page.md", "# Page\n\n[x](../README.md)\n`core/none.h`\n", 4),
                    ("docs/page.md", "# Page\n\n[x](../README.md) `src/core/a.{h,cpp}`\n", 3),
                    ("README.md", "# Name\n\n[x](docs/page.md)\nrun `src/run.sh N`, then\n", 4)],
    "clang-format": [("src/core/b.cpp", SPDX + "int  a ;\n", 2)],
    "shell-scripts": [("dev", "#!/usr/bin/env bash\n# SPDX-License-Identifier: Apache-2.0\nrm $1\n", 3)],
    "recipe-version": [("recipes/two.toml", "[run]\n", 1)],
}


def check(files, rule):
    with tempfile.TemporaryDirectory() as root:
        for path, text in files.items():
            full = os.path.join(root, path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, "w", encoding="utf-8") as stream:
                stream.write(text)
        return subprocess.run([sys.executable, os.path.join(HERE, "rules.py"), "--root", root, rule], capture_output=True, text=True)


def main():
    sys.path.insert(0, HERE)
    from rules import RULES
    failures = [f"{rule}: nothing is planted for it" for rule in RULES if rule not in PLANTS]
    for rule, plants in PLANTS.items():
        clean = check(CLEAN, rule)
        if clean.returncode != 0:
            failures.append(f"{rule}: finds fault in a clean tree: {clean.stdout}{clean.stderr}")
        for path, text, line in plants:
            found = check({**CLEAN, path: text}, rule)
            wanted = f"{path}:{line}: {rule}:" if line else f"{rule}:"
            if found.returncode != 1 or wanted not in found.stdout:
                failures.append(f"{rule}: did not find the violation in {path}, line {line}: {found.stdout}{found.stderr}")
    print("\n".join(failures) or f"{len(PLANTS)} rules, each sees its planted violations")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

// SPDX-License-Identifier: Apache-2.0
#include "cli/model.h"
#include "core/error.h"

namespace ocoee::cli {

std::unique_ptr<LanguageModel> load_language_model(const tasks::LanguageConfig&,
                                                   const std::filesystem::path&,
                                                   const std::string&) {
  fail(ErrorKind::config,
       "this program was built without LibTorch, so it cannot run a language model\n    fix: ./dev "
       "build");
}

}  // namespace ocoee::cli

// SPDX-License-Identifier: Apache-2.0
// A recipe from hostile text: it is refused with an Error(config), or its violations are listed, or
// the resolved recipe that it means reads back as itself.
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "core/config.h"
#include "core/error.h"

namespace {

using namespace ocoee;

struct Everything {  // a value of each type, with each sort of range
  bool flag = false;
  int64_t count = 1;
  double rate = 0.5;
  std::string name = "a", mode = "cosine";
  std::vector<std::string> files;
  std::vector<int64_t> sizes;
  std::vector<double> weights;

  void describe(config::Description& recipe) {
    config::Description& d = recipe.section("model", "values");
    d.field("flag", flag, "a switch");
    d.field("count", count, "a number").at_least(1).at_most(1e15);
    d.field("rate", rate, "a rate").above(0).at_most(1);
    d.field("name", name, "a text");
    d.section("inner", "a section inside")
        .field("mode", mode, "a choice")
        .choices({"constant", "cosine"});
    d.field("files", files, "texts");
    d.field("sizes", sizes, "numbers").at_least(0);
    d.field("weights", weights, "rates");
  }
};

// Reads the document; an empty text where it is refused or has violations.
std::string resolved(const config::Document& document) {
  Everything values;
  config::Description description;
  values.describe(description);
  config::Problems problems;
  document.read(description, problems);
  if (!problems.empty()) {
    if (problems.text().empty()) std::abort();
    return "";
  }
  if (values.count < 1 || !(values.rate > 0 && values.rate <= 1)) std::abort();
  if (values.mode != "constant" && values.mode != "cosine") std::abort();
  for (const double weight : values.weights)
    if (!std::isfinite(weight)) return "";  // has no text of its own in every TOML reader
  return config::to_toml(description);
}

}  // namespace

// The first line may be an override, as on the command line; the rest is the file.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  try {
    const size_t line = text.rfind("#!override ", 0) == 0 ? text.find('\n') : std::string::npos;
    config::Document document = config::Document::from_text(
        line == std::string::npos ? text : text.substr(line + 1), "fuzz.toml");
    if (line != std::string::npos) document.override_value(text.substr(11, line - 11));
    const std::string once = resolved(document);
    if (once.empty()) return 0;
    if (resolved(config::Document::from_text(once, "again.toml")) != once) std::abort();
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::config) std::abort();
  }
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
#include "plan/machine.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/file.h"
#include "core/text.h"

namespace ocoee::plan {
namespace {

bool contains_word(std::string text, std::string word) {
  const auto lower = [](std::string& s) {
    for (char& c : s) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  };
  lower(text);
  lower(word);
  return text.find(word) != std::string::npos;
}

}  // namespace

double Curve::operator()(double size) const {
  if (at.empty()) return 1;
  if (size <= at.front()) return share.front();
  if (size >= at.back()) return share.back();
  const auto above = std::upper_bound(at.begin(), at.end(), size);
  const auto i = static_cast<size_t>(above - at.begin());
  const double part = std::log(size / at[i - 1]) / std::log(at[i] / at[i - 1]);
  return share[i - 1] + part * (share[i] - share[i - 1]);
}

double Device::product_share(double flops, double tokens) const {
  const double many = product(flops);
  if (few_tokens <= 0 || product_few.at.empty() || tokens >= 2 * few_tokens) return many;
  const double part = std::max(0.0, std::log2(tokens / few_tokens));
  return product_few(flops) * (1 - part) + many * part;
}

FlopsPerSecond Device::peak(const std::string& compute) const {
  const double rate = compute == "bfloat16"  ? bfloat16
                      : compute == "float16" ? float16
                      : compute == "float64" ? float64
                                             : float32;
  if (rate <= 0)
    fail(ErrorKind::config,
         "precision.compute: the profile of {} states no peak of {}\n    fix: add `{} = FLOP/s` to "
         "its [device] section, or use another type",
         name, compute, compute);
  return FlopsPerSecond(rate);
}

Machine parse_machine(const std::string& toml, const std::string& name) {
  const config::Document document = config::Document::from_text(toml, name);
  Machine machine;
  config::Description description;
  machine.describe(description);
  config::Problems problems;
  document.read(description, problems);
  problems.keep_first_of_a_key_from_here();
  machine.check(problems);
  if (!problems.empty())
    fail(ErrorKind::config, "{}{}",
         problems.all().size() == 1
             ? ""
             : fmt::format("{} problems in the machine profile\n", problems.all().size()),
         problems.text());
  return machine;
}

Machine load_machine(const std::string& name) {
  if (name.find('/') != std::string::npos || name.ends_with(".toml")) {
    std::string text;
    try {
      text = read_file(name);
    } catch (const Error& error) {
      fail(ErrorKind::config,
           "{}\n    fix: give the path of a machine profile, or the name of one: `ocoee list "
           "machines`",
           error.what());
    }
    return parse_machine(text, name);
  }
  std::vector<std::string> names;
  for (const BuiltinMachine& machine : builtin_machines()) {
    if (machine.name == name) return parse_machine(machine.toml, "machines/" + name + ".toml");
    names.push_back(machine.name);
  }
  const std::string near = nearest(name, names);
  fail(ErrorKind::config, "no machine profile is named '{}'\n    fix: {}", name,
       near.empty() ? fmt::format("one of {}, or the path of a TOML file", join(names, ", "))
                    : fmt::format("did you mean '{}'?", near));
}

Machine unknown_machine() {
  Machine m;
  m.device.memory = Bytes(1e30);
  m.device.bandwidth = BytesPerSecond(1);
  m.device.bfloat16 = m.device.float16 = m.device.float32 = m.device.float64 = 1;
  m.host.memory = Bytes(1e30);
  m.host.bandwidth = BytesPerSecond(1);
  m.node.devices = int64_t{1} << 40;
  m.node.bandwidth = m.network.bandwidth = BytesPerSecond(1);
  return m;
}

std::string machine_of_device(const std::string& device_name) {
  for (const BuiltinMachine& builtin : builtin_machines()) {
    const Machine machine = parse_machine(builtin.toml, builtin.name);
    if (!machine.match.empty() &&
        std::all_of(machine.match.begin(), machine.match.end(),
                    [&](const std::string& word) { return contains_word(device_name, word); }))
      return builtin.name;
  }
  return "";
}

}  // namespace ocoee::plan

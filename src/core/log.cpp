// SPDX-License-Identifier: Apache-2.0
#include "core/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <atomic>

namespace ocoee::log {
namespace {

std::atomic<int> this_rank{0};

spdlog::logger& logger() {
  static const std::shared_ptr<spdlog::logger> instance = [] {
    auto made = spdlog::stderr_color_mt("ocoee");
    made->set_pattern("%^%L%$ %H:%M:%S %v");
    made->flush_on(spdlog::level::debug);
    return made;
  }();
  return *instance;
}

}  // namespace

void set_rank(int rank, int size) {
  this_rank = rank;
  if (size > 1) logger().set_pattern(fmt::format("%^%L%$ %H:%M:%S rank {} %v", rank));
}

void set_level(Level level) {
  logger().set_level(level == Level::debug     ? spdlog::level::debug
                     : level == Level::info    ? spdlog::level::info
                     : level == Level::warning ? spdlog::level::warn
                                               : spdlog::level::err);
}

void write(Level level, const std::string& message) {
  if (this_rank != 0 && level < Level::warning) return;
  switch (level) {
    case Level::debug:
      logger().debug("{}", message);
      return;
    case Level::info:
      logger().info("{}", message);
      return;
    case Level::warning:
      logger().warn("{}", message);
      return;
    case Level::error:
      logger().error("{}", message);
      return;
  }
}

}  // namespace ocoee::log

// SPDX-License-Identifier: Apache-2.0
// A small strict reader of XML, for tests: proves that a page or picture is well-formed and lists
// its elements.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace ocoee::report::testing_support {

struct XmlElement {
  std::string name;
  std::map<std::string, std::string> attributes;
  std::string text;  // directly inside, entities as written
  std::string parent;
};

struct XmlDocument {
  std::string error;  // empty: well-formed
  std::vector<XmlElement> elements;

  size_t count(const std::string& name) const {
    size_t n = 0;
    for (const XmlElement& e : elements) n += e.name == name;
    return n;
  }
  bool has_id(const std::string& id) const {
    for (const XmlElement& e : elements)
      if (const auto found = e.attributes.find("id");
          found != e.attributes.end() && found->second == id)
        return true;
    return false;
  }
  bool has_text(const std::string& text) const {
    for (const XmlElement& e : elements)
      if (e.text.find(text) != std::string::npos) return true;
    return false;
  }
};

class XmlReader {
 public:
  explicit XmlReader(std::string_view text) : text_(text) {}

  XmlDocument read() {
    if (text_.starts_with("<!DOCTYPE html>")) at_ = 15;
    while (document_.error.empty() && at_ < text_.size()) {
      if (text_[at_] == '<') {
        tag();
      } else {
        characters();
      }
    }
    if (document_.error.empty() && !open_.empty())
      fail("<" + document_.elements[open_.back()].name + "> is never closed");
    return std::move(document_);
  }

 private:
  void fail(const std::string& what) {
    if (document_.error.empty())
      document_.error = what + " near: " + std::string(text_.substr(at_ > 40 ? at_ - 40 : 0, 120));
  }

  void check_characters(std::string_view part) {
    for (size_t i = 0; i < part.size(); ++i) {
      const auto c = static_cast<unsigned char>(part[i]);
      if (c < 0x20 && c != '\t' && c != '\n') return fail("a control character");
      if (c == '<') return fail("a bare <");
      if (c >= 0x80) {
        const size_t length = c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : c >= 0xC2 ? 2 : 0;
        if (length == 0 || i + length > part.size()) return fail("broken UTF-8");
        for (size_t k = 1; k < length; ++k)
          if ((static_cast<unsigned char>(part[i + k]) & 0xC0) != 0x80) return fail("broken UTF-8");
        i += length - 1;
      }
      if (c == '&') {
        const size_t end = part.find(';', i);
        const std::string name(part.substr(i, end == std::string_view::npos ? 8 : end - i + 1));
        if (name != "&amp;" && name != "&lt;" && name != "&gt;" && name != "&quot;" &&
            name != "&#39;")
          return fail("a bare & or an unknown entity");
      }
    }
  }

  void characters() {
    const size_t end = std::min(text_.find('<', at_), text_.size());
    check_characters(text_.substr(at_, end - at_));
    if (!open_.empty()) {
      document_.elements[open_.back()].text += text_.substr(at_, end - at_);
    } else if (text_.substr(at_, end - at_).find_first_not_of(" \n\t") != std::string_view::npos) {
      fail("text outside of the root");
    }
    at_ = end;
  }

  static bool is_name(char c) {
    return isalnum(static_cast<unsigned char>(c)) || c == '-' || c == ':' || c == '_';
  }
  std::string name() {
    const size_t start = at_;
    while (at_ < text_.size() && is_name(text_[at_])) ++at_;
    return std::string(text_.substr(start, at_ - start));
  }

  void tag() {
    if (text_.substr(at_).starts_with("</")) {
      at_ += 2;
      const std::string closed = name();
      if (at_ >= text_.size() || text_[at_] != '>') return fail("a broken end tag");
      ++at_;
      if (open_.empty() || document_.elements[open_.back()].name != closed)
        return fail("</" + closed + "> closes another element");
      open_.pop_back();
      return;
    }
    ++at_;
    XmlElement element;
    element.name = name();
    if (element.name.empty()) return fail("a bare <");
    if (!open_.empty()) element.parent = document_.elements[open_.back()].name;
    for (;;) {
      while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
      if (at_ >= text_.size()) return fail("a tag without end");
      if (text_[at_] == '>' || text_.substr(at_).starts_with("/>")) break;
      const std::string key = name();
      if (key.empty() || !text_.substr(at_).starts_with("=\"")) return fail("a broken attribute");
      at_ += 2;
      const size_t end = text_.find('"', at_);
      if (end == std::string_view::npos) return fail("an attribute without end");
      check_characters(text_.substr(at_, end - at_));
      if (!element.attributes.emplace(key, text_.substr(at_, end - at_)).second)
        return fail("attribute twice: " + key);
      if (key == "id" && !ids_.insert(element.attributes[key]).second)
        return fail("id twice: " + element.attributes[key]);
      at_ = end + 1;
    }
    const bool empty = text_[at_] == '/';
    at_ += empty ? 2 : 1;
    const bool raw = !empty && (element.name == "script" || element.name == "style");
    const std::string end_tag = "</" + element.name + ">";
    if (raw) {
      const size_t end = text_.find(end_tag, at_);
      if (end == std::string_view::npos) return fail("no end of " + element.name);
      element.text = text_.substr(at_, end - at_);
      at_ = end + end_tag.size();
    }
    document_.elements.push_back(std::move(element));
    if (!empty && !raw) open_.push_back(document_.elements.size() - 1);
  }

  std::string_view text_;
  size_t at_ = 0;
  std::vector<size_t> open_;
  std::set<std::string> ids_;
  XmlDocument document_;
};

inline XmlDocument read_xml(std::string_view text) {
  return XmlReader(text).read();
}

}  // namespace ocoee::report::testing_support

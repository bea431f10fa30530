#include "cmd/cli/model_page.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace glm {
namespace {

using Json = nlohmann::ordered_json;

const Json& tiny() {
  static const Json show = Json::parse(R"json({
    "model": "tiny:latest", "license": "MIT License\nline 2\nline 3\nline 4\n",
    "modelfile": "FROM bundled:glm-tiny\n", "parameters": "temperature    0.5\n",
    "template": "[gMASK]<sop>", "system": "",
    "details": {"family": "glm4_moe_lite", "parameter_size": "7.2M", "quantization_level": "bf16"},
    "model_info": {"architecture": "glm4_moe_lite", "format": "bf16", "context_max": 4096,
                   "kv_bytes_per_token": 54144, "parameters_active": 3100000, "has_mtp": true,
                   "formats": [{"group": "experts", "format": "int4 g32 (compressed-tensors)",
                                "modules": 8832, "parameters": 1, "bytes": 15628000000},
                               {"group": "norms", "format": "bf16", "modules": 1, "bytes": 4096}],
                   "unquantized": [{"group": "attention", "modules": 5, "of": 235, "layers": "0"},
                                   {"group": "shared experts", "modules": 138, "of": 138,
                                    "layers": "1-46"},
                                   {"group": "output head", "modules": 1, "of": 1, "layers": ""}],
                   "refusal": "it is too odd", "notes": ["has no MTP layer"]},
    "capabilities": ["completion", "thinking"], "modified_at": "2026-11-21T09:15:00Z",
    "size": 14400000, "source": "bundled:glm-tiny", "revision": "main", "commit": "abc"})json");
  return show;
}

TEST(ModelPage, HasASectionForEverythingKnown) {
  EXPECT_EQ(model_page(tiny()),
            "  Model\n"
            "    architecture          glm4_moe_lite\n"
            "    parameters            7.2M, 3.1M active\n"
            "    context length        4096\n"
            "    format                bf16\n"
            "    size                  14.4 MB\n"
            "    kv bytes per token    54144\n"
            "    mtp layer             present\n"
            "\n"
            "  glm cannot run this: it is too odd\n"
            "\n"
            "  Source\n"
            "    repository    bundled:glm-tiny\n"
            "    revision      main\n"
            "    commit        abc\n"
            "    pulled        2026-11-21T09:15:00Z\n"
            "\n"
            "  Formats\n"
            "    experts    int4 g32 (compressed-tensors)    8832 modules    15.6 GB\n"
            "    norms      bf16                             1 module        4.1 kB\n"
            "\n"
            "  Left unquantized\n"
            "    attention         5 of 235 matrices    layer 0\n"
            "    shared experts    all 138 matrices     layers 1-46\n"
            "    output head       all 1 matrix\n"
            "\n"
            "  Capabilities\n"
            "    completion\n"
            "    thinking\n"
            "\n"
            "  Notes\n"
            "    has no MTP layer\n"
            "\n"
            "  Parameters\n"
            "    temperature    0.5\n"
            "\n"
            "  License\n"
            "    MIT License\n"
            "    line 2\n"
            "    line 3\n"
            "    ...\n");
}

TEST(ModelPage, LeavesOutWhatIsMissingOrOfAnotherType) {
  EXPECT_EQ(model_page(Json::object()), "");
  EXPECT_EQ(model_page({{"details", 1},
                        {"model_info", nullptr},
                        {"capabilities", "x"},
                        {"pulled", "no"},
                        {"size", -1},
                        {"system", 7}}),
            "");
}

TEST(ModelPagePart, IsThatTextAlone) {
  EXPECT_EQ(*model_page_part(tiny(), "template"), "[gMASK]<sop>\n");
  EXPECT_EQ(*model_page_part(tiny(), "modelfile"), "FROM bundled:glm-tiny\n");
  EXPECT_EQ(*model_page_part(tiny(), "info"), model_page(tiny()));
  EXPECT_EQ(model_page_part(tiny(), "system").error().message,
            "this model has no system of its own");
  EXPECT_EQ(model_page_part(tiny(), "licence").error().message,
            "a model has no 'licence'; did you mean 'license'?");
}

}  // namespace
}  // namespace glm

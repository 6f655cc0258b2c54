/** Data management halves of a few nodes in golden conversations (testdata/*.txt). */
import { Conversation } from "./conversation.js";
import { goldenConversations } from "./golden.test-suite.js";

goldenConversations("testdata", () => new Conversation());

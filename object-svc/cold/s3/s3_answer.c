#include "object-svc/cold/s3/s3_answer.h"

#include <libxml/parser.h>
#include <libxml/tree.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

static bool named(const xmlNode *node, const char *name) {
    return node->type == XML_ELEMENT_NODE && strcmp((const char *)node->name, name) == 0;
}

/* NULL where it is not well formed or its root has another name. */
static xmlDoc *parse(struct bytes xml, const char *root) {
    if (xml.size == 0 || xml.size > INT_MAX) {
        return NULL;
    }
    xmlDoc *document = xmlReadMemory((const char *)xml.data, (int)xml.size, NULL, NULL,
                                     XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
    const xmlNode *element = document == NULL ? NULL : xmlDocGetRootElement(document);
    if (element == NULL || !named(element, root)) {
        xmlFreeDoc(document);
        return NULL;
    }
    return document;
}

static char *child_text(const xmlNode *parent, const char *name) {
    for (const xmlNode *node = parent->children; node != NULL; node = node->next) {
        if (named(node, name)) {
            xmlChar *content = xmlNodeGetContent(node);
            char *text = content == NULL ? NULL : strdup((const char *)content);
            xmlFree(content);
            return text;
        }
    }
    return NULL;
}

static void take_text(const xmlNode *parent, const char *name, char *out, size_t size) {
    char *text = child_text(parent, name);
    snprintf(out, size, "%s", text == NULL ? "" : text);
    free(text);
}

bool s3_answer_error(struct bytes xml, struct s3_error *out) {
    *out = (struct s3_error){0};
    xmlDoc *document = parse(xml, "Error");
    if (document == NULL) {
        return false;
    }
    take_text(xmlDocGetRootElement(document), "Code", out->code, sizeof out->code);
    take_text(xmlDocGetRootElement(document), "Message", out->message, sizeof out->message);
    xmlFreeDoc(document);
    return true;
}

char *s3_answer_text(struct bytes xml, const char *root, const char *child) {
    xmlDoc *document = parse(xml, root);
    if (document == NULL) {
        return NULL;
    }
    char *text = child_text(xmlDocGetRootElement(document), child);
    xmlFreeDoc(document);
    return text;
}

bool s3_answer_each(struct bytes xml, const char *root, const char *child, const char *first, const char *second,
                    s3_answer_visitor *visit, void *context) {
    xmlDoc *document = parse(xml, root);
    if (document == NULL) {
        return false;
    }
    bool more = true;
    for (const xmlNode *node = xmlDocGetRootElement(document)->children; more && node != NULL; node = node->next) {
        if (named(node, child)) {
            char *one = child_text(node, first);
            char *two = child_text(node, second);
            more = visit(context, one, two);
            free(one);
            free(two);
        }
    }
    xmlFreeDoc(document);
    return true;
}

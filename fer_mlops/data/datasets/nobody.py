"""Words in file names that are not part of a person's name."""

from __future__ import annotations

_CODES = """
af an di fe ha ne sa sp su ang dis fea hap neu sur
"""
CODES = frozenset(_CODES.split())
"""Abbreviated emotions of published data sets; as the first word they may be a person's initials."""

_SHOWN = """
smile smiles smiling laugh laughing cry crying frown frowning scream screaming shock shocked rage
mad furious upset unhappy calm astonished amazed surprising sorrow worried wink winking sleepy
yawn bored wut wütend wuetend zorn ärger aerger ekel angst ängstlich freude froh fröhlich
glücklich gluecklich traurig trauer überrascht ueberrascht überraschung ueberraschung colère
colere dégoût degout dégoûté peur joie heureux heureuse triste tristesse surpris neutre enojo
enojado enfado ira rabia asco miedo alegría alegria feliz felicidad tristeza sorpresa neutro
rabbia arrabbiato disgusto paura felicità felicita felice gioia tristezza neutrale sorpreso raiva
nojo medo surpresa boos woede afschuw bang blij verdriet verdrietig verrast gniew złość zlosc
wstręt wstret strach radość radosc szczęście szczescie smutek smutny zdziwienie гнев злость
отвращение страх радость счастье грусть печаль удивление нейтрально öfke ofke iğrenme igrenme
korku mutlu mutluluk üzgün uzgun şaşkın saskin doğal dogal
愤怒 生气 厌恶 恐惧 害怕 高兴 快乐 开心 悲伤 难过 伤心 惊讶 中性
怒り 嫌悪 恐怖 喜び 悲しみ 驚き 真顔 marah jijik takut senang sedih terkejut
"""
SHOWN = frozenset(_SHOWN.split())
"""Facial expressions, and emotions in other languages; they give neither a label nor a person."""

_NOBODY = """
im img imgs image images dsc dscn dscf dcim dji pxl mvi mvimg vid gopr sam cimg hpim pict lrm pano
burst hdr cover photo photos foto fotos pic pics picture pictures bild bilder scan snap snapshot
snapchat screenshot screen shot bildschirmfoto um captura de pantalla capture captured écran
schermata снимок экрана
截屏 屏幕截图 スクリーンショット webcam cam camera win pro whatsapp wa at on am pm fb
telegram signal received kakaotalk mmexport export video film movie clip seq sequence frame frames
still out output input file files untitled unnamed noname new neu download downloaded upload
attachment selfie portrait headshot jpg jpeg png rf webp bmp gif tif tiff data dataset sample
samples train training test testing valid validation val dev privatetest publictest ffhq fer
ferplus raf rafdb affectnet kdef ck ckplus expw sfew afew lfw celeba oulu emotic emotion emotions
expression expressions facial class label set batch part fold take session sess ses trial run
round version ver v copy kopie copie copia duplicate final edit edited nr no num number index idx
item row page aug augmented flip flipped mirror mirrored rot rotated rotate crop cropped crops
aligned align resized resize scaled small big large thumb thumbnail gray grey grayscale greyscale
bw color colour rgb hd sd orig original face faces head front frontal left right profile side half
halfleft halfright up down top bottom center centre centerlight leftlight rightlight noglasses
glasses light dark bright open closed mouth eyes teeth pose posed spontaneous onset apex offset
peak low mid medium high weak strong subtle slight intense intensity extreme very more less level
lvl first last second third one two three id pid sid male female man men woman women boy boys girl
girls guy lady child kid kids baby teen adult senior elderly people person persons human subject
subjects subj sub participant patient volunteer user speaker actor actress model student proband
young old middle aged white black asian african american european caucasian hispanic latino indian
chinese japanese arab business the of and with without in by from for to
"""
NOBODY = frozenset(_NOBODY.split())
"""Words from cameras, programs, collections and edits, and general words for people."""

_STOCK = """
pexels unsplash pixabay shutterstock istock istockphoto gettyimages depositphotos adobestock
dreamstime stock freepik alamy
"""
STOCK = frozenset(_STOCK.split())
"""Stock photo agencies; their file names contain the photographer's name."""

_UNKNOWN = """
? ?? - -- . / n/a na nan none null nil unknown unk unnamed anonymous nobody
"""
UNKNOWN = frozenset(_UNKNOWN.split())  # cells of an identity column that mean no name
